//! A vendor's name of a product → what the market calls it: `NVIDIA-GeForce-RTX-4090` → `rtx4090`, `24Gi`, `pcie`.
//!
//! A rule that fits most products, and a file of the operator's for those that it does not fit or that are to be called
//! otherwise. The file is TOML, one product a line, by the vendor's name or by PCI vendor and device:
//!
//! ```toml
//! "NVIDIA-A100-SXM4-80GB" = { model = "a100", ram = "80Gi", interface = "sxm" }
//! "10de:2684" = { model = "rtx4090", ram = "24Gi", interface = "pcie" }
//! "NVIDIA-Graphics-Device" = { model = "" } # not offered
//! ```
//!
//! The surprising fact: a GPU reports less memory than it is sold with (46068 MiB of 48 GiB), since some of it corrects errors. The
//! market means what is sold.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Memory sizes that GPUs are sold with, in GiB.
const SOLD: [u64; 25] = [
    2, 3, 4, 5, 6, 8, 10, 11, 12, 16, 20, 24, 32, 40, 48, 64, 80, 94, 96, 128, 141, 180, 192, 256,
    288,
];
/// Words of a product's name that are no part of its model.
const WORDS: [&str; 12] = [
    "nvidia",
    "amd",
    "tesla",
    "geforce",
    "quadro",
    "instinct",
    "radeon",
    "generation",
    "gpu",
    "oam",
    "nvl",
    "graphics",
];
/// Models that are only made for a board of their own, though their names do not say so.
const ON_BOARD: [&str; 4] = ["h200", "b200", "b300", "mi300x"];

/// What the market calls a product.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// `a100`, `rtx4090`, …; empty for one that is not offered.
    pub model: String,
    /// `80Gi`, …
    #[serde(default)]
    pub ram: Option<String>,
    /// `pcie` or `sxm`.
    #[serde(default)]
    pub interface: Option<String>,
}

/// What an operator calls products, over the rule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct GpuNames(BTreeMap<String, Product>);

impl GpuNames {
    /// Reads the operator's file.
    ///
    /// # Errors
    /// What is wrong, where, and what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let names: Self = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        for (product, Product { model, ram, interface }) in &names.0 {
            let parts = [Some(model), ram.as_ref(), interface.as_ref()];
            let allowed =
                |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            if let Some(part) = parts.into_iter().flatten().find(|part| !allowed(part)) {
                return Err(format!(
                    "{product:?}: {part:?} is no part of a label; allowed are letters, digits and dashes"
                ));
            }
        }
        Ok(names)
    }

    /// What the market calls a product. `None` when it is not offered: the operator says so, or it is a part of a GPU, or one
    /// that several pods have at once.
    #[must_use]
    pub fn of(&self, product: &str, memory_mib: Option<u64>) -> Option<Product> {
        match self.0.get(product) {
            Some(named) => offered(named),
            None => by_rule(product, memory_mib),
        }
    }

    /// What the operator calls a PCI device, `10de:2684`.
    #[must_use]
    pub fn of_pci(&self, device: &str) -> Option<Product> {
        self.0.get(device).and_then(offered)
    }
}

fn offered(product: &Product) -> Option<Product> {
    (!product.model.is_empty()).then(|| product.clone())
}

fn by_rule(product: &str, memory_mib: Option<u64>) -> Option<Product> {
    let lower = product.to_ascii_lowercase();
    let words: Vec<&str> = lower.split(['-', '_', ' ']).filter(|word| !word.is_empty()).collect();
    if words.iter().any(|word| matches!(*word, "mig" | "shared")) {
        return None;
    }
    let gigabytes = |word: &str| {
        let digits = word.strip_suffix("gb").or_else(|| word.strip_suffix('g'))?;
        digits.parse::<u64>().ok()
    };
    let is_interface = |word: &str| word.starts_with("sxm") || word == "pcie";
    let is_memory_kind = |word: &str| word.starts_with("hbm") || word.starts_with("gddr");
    let model: String = words
        .iter()
        .filter(|word| {
            !WORDS.contains(word)
                && !is_interface(word)
                && !is_memory_kind(word)
                && gigabytes(word).is_none()
        })
        .copied()
        .collect();
    if model.is_empty() || !model.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let says = |word: &str| words.iter().any(|one| one.starts_with(word));
    let on_board = says("sxm")
        || says("oam")
        || (!says("pcie") && !says("nvl") && (says("hbm") || ON_BOARD.contains(&model.as_str())));
    let ram = words.iter().find_map(|word| gigabytes(word)).or_else(|| memory_mib.map(sold_as));
    Some(Product {
        model,
        ram: ram.map(|gib| format!("{gib}Gi")),
        interface: Some(if on_board { "sxm" } else { "pcie" }.to_owned()),
    })
}

/// The size, in GiB, that a GPU with so much memory is sold with.
fn sold_as(mib: u64) -> u64 {
    let gib = mib.div_ceil(1024);
    SOLD.into_iter().find(|sold| *sold >= gib).unwrap_or(gib)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(model: &str, ram: &str, interface: &str) -> Product {
        Product {
            model: model.to_owned(),
            ram: Some(ram.to_owned()),
            interface: Some(interface.to_owned()),
        }
    }

    #[test]
    fn products_are_called_as_the_market_calls_them() {
        let names = GpuNames::default();
        for (name, mib, expected) in [
            ("NVIDIA-A100-SXM4-80GB", 81_920, Some(product("a100", "80Gi", "sxm"))),
            ("NVIDIA-A100-PCIE-40GB", 40_960, Some(product("a100", "40Gi", "pcie"))),
            ("NVIDIA-H100-80GB-HBM3", 81_559, Some(product("h100", "80Gi", "sxm"))),
            ("NVIDIA-H100-PCIe", 81_559, Some(product("h100", "80Gi", "pcie"))),
            ("NVIDIA-H100-NVL", 95_830, Some(product("h100", "94Gi", "pcie"))),
            ("NVIDIA-H200", 143_771, Some(product("h200", "141Gi", "sxm"))),
            ("NVIDIA-B200", 183_359, Some(product("b200", "180Gi", "sxm"))),
            ("NVIDIA-L40S", 46_068, Some(product("l40s", "48Gi", "pcie"))),
            ("Tesla-T4", 15_360, Some(product("t4", "16Gi", "pcie"))),
            ("Tesla-V100-SXM2-16GB", 16_384, Some(product("v100", "16Gi", "sxm"))),
            ("NVIDIA-GeForce-RTX-4090", 24_564, Some(product("rtx4090", "24Gi", "pcie"))),
            ("NVIDIA-GeForce-GTX-1070-Ti", 8_192, Some(product("gtx1070ti", "8Gi", "pcie"))),
            ("NVIDIA-GeForce-RTX-2070-SUPER", 8_192, Some(product("rtx2070super", "8Gi", "pcie"))),
            ("NVIDIA-RTX-A6000", 49_140, Some(product("rtxa6000", "48Gi", "pcie"))),
            ("NVIDIA-RTX-4000-Ada-Generation", 20_475, Some(product("rtx4000ada", "20Gi", "pcie"))),
            ("Quadro-P2000", 5_120, Some(product("p2000", "5Gi", "pcie"))),
            ("AMD_Instinct_MI300X_OAM", 196_592, Some(product("mi300x", "192Gi", "sxm"))),
            ("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", 4_864, None),
            ("NVIDIA-GeForce-RTX-4090-SHARED", 24_564, None),
        ] {
            assert_eq!(names.of(name, Some(mib)), expected, "{name}");
        }
    }

    #[test]
    fn the_operators_file_goes_over_the_rule() {
        let names = GpuNames::parse(
            "\"NVIDIA-H200\" = { model = \"h200\", ram = \"141Gi\", interface = \"pcie\" }\n\
             \"NVIDIA-A10\" = { model = \"\" }\n\"10de:2684\" = { model = \"rtx4090\" }",
        )
        .unwrap();
        assert_eq!(names.of("NVIDIA-H200", None), Some(product("h200", "141Gi", "pcie")));
        assert_eq!(names.of("NVIDIA-A10", Some(23_028)), None);
        assert_eq!(names.of_pci("10de:2684").unwrap().model, "rtx4090");
        assert_eq!(names.of_pci("10de:1"), None);
        for wrong in ["x = 1", "\"a\" = { model = \"a b\" }", "\"a\" = { modle = \"a\" }", "["] {
            assert!(GpuNames::parse(wrong).is_err(), "{wrong}");
        }
    }
}
