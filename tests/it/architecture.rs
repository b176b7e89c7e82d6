//! The arrows of `use` between the modules, as `src/lib.rs` promises them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// What each module may use of lessor, besides itself. Everything may be used by `cmd`.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    const PURE: &[&str] = &["domain", "wire", "manifest"];
    const TOOLS: &[&str] = &["domain", "wire", "event", "manifest"];
    const ADAPTER: &[&str] = &["domain", "wire", "manifest", "event", "bidengine", "provider"];
    BTreeMap::from([
        ("domain", &[] as &[_]),
        ("wire", &["domain"]),
        ("manifest", &["domain"]),
        ("event", PURE),
        ("bidengine", PURE),
        ("provider", &["domain", "wire", "manifest", "event", "bidengine"]),
        ("store", ADAPTER),
        ("chain", ADAPTER),
        (
            "cluster",
            &[
                "domain",
                "wire",
                "manifest",
                "event",
                "bidengine",
                "provider",
                "devnet::cluster_api",
            ],
        ),
        ("gateway", &["domain", "wire", "manifest", "event", "bidengine", "provider", "telemetry"]),
        ("telemetry", &["domain", "provider"]),
        ("relay", TOOLS),
        ("client", TOOLS),
        ("devnet", TOOLS),
    ])
}

/// Crates that bring a clock, randomness or I/O, which the pure modules do without.
const IMPURE: [&str; 8] =
    ["tokio", "reqwest", "sqlx", "axum", "hyper", "std::fs", "std::net", "std::env"];
const PURE_MODULES: [&str; 5] = ["domain", "wire", "manifest", "event", "bidengine"];
/// What is as pure inside of a module that is not: the functions that move a deployment and its leases on.
const PURE_FILES: [&str; 3] =
    ["src/provider/deployment/", "src/provider/lease.rs", "src/provider/intent.rs"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Each source file with the module that it belongs to and its lines of code up to its unit tests.
fn files() -> Vec<(String, PathBuf, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&root)
        .into_iter()
        .filter_map(|path| {
            let inside = path.strip_prefix(&root).unwrap();
            let module = inside.components().next().unwrap().as_os_str().to_str().unwrap();
            let module = module.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
            let lines = text
                .lines()
                .take_while(|line| !is_test && !line.starts_with("#[cfg(test)]"))
                .filter(|line| !line.trim_start().starts_with("//"))
                .map(str::to_owned)
                .collect();
            (!["lib", "main", "cmd"].contains(&module.as_str())).then_some((module, path, lines))
        })
        .collect()
}

/// The modules of lessor that a file names after `crate::`, a nested `use crate::{…}` included.
fn used(lines: &[String]) -> Vec<String> {
    let text = lines.join("\n");
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            found.extend(top_level(list));
        } else {
            found.push(head(rest));
        }
    }
    found
}

/// The first names of a braced list's items.
fn top_level(list: &str) -> Vec<String> {
    let mut depth = 1;
    let mut items = vec![String::new()];
    for character in list.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => items.push(String::new()),
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if !(character == ',' && depth == 1) {
            items.last_mut().unwrap().push(character);
        }
    }
    items.iter().map(|item| head(item.trim())).filter(|item| !item.is_empty()).collect()
}

/// `module` or, for devnet, `module::submodule`, since one part of it is shared.
fn head(path: &str) -> String {
    let name = |text: &str| -> String {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let first = name(path);
    let second = path.strip_prefix(&first).and_then(|rest| rest.strip_prefix("::")).map(name);
    match (first.as_str(), second.as_deref()) {
        ("devnet", Some("cluster_api")) => "devnet::cluster_api".to_owned(),
        _ => first,
    }
}

#[test]
fn arrows_of_use_point_inwards_only() {
    let allowed = allowed();
    let mut broken = Vec::new();
    for (module, path, lines) in files() {
        let may =
            allowed.get(module.as_str()).unwrap_or_else(|| panic!("{module} has no rule here"));
        for used in used(&lines) {
            let inside = used == module || used.starts_with(&format!("{module}::"));
            if !inside && !may.contains(&used.as_str()) {
                broken.push(format!("{} uses {used}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_pure_modules_do_without_clock_randomness_and_io() {
    let mut broken = Vec::new();
    for (module, path, lines) in files() {
        let name = path.display().to_string();
        let is_pure = PURE_MODULES.contains(&module.as_str())
            || PURE_FILES.iter().any(|pure| name.contains(pure));
        if !is_pure {
            continue;
        }
        for line in &lines {
            for word in IMPURE.iter().chain(&[
                "Timestamp::now",
                "SystemTime",
                "Instant::now",
                "Uuid::new_v4",
                "Uuid::now_v7",
            ]) {
                let named = line.contains(&format!("{word}::"))
                    || line.contains(&format!("use {word}"))
                    || line.ends_with(word);
                if named {
                    broken.push(format!("{}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn no_source_file_is_longer_than_six_hundred_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let long: Vec<String> = ["src", "tests"]
        .iter()
        .flat_map(|folder| sources(&root.join(folder)))
        .filter_map(|path| {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            (lines > 600).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}
