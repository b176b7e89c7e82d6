//! Rules of profiles and of the groups that are made of them: resources, prices, placements.

use super::rules;

rules! {
    "resources-missing" Sdl "A resource is missing",
        "A compute profile that is deployed must say what a replica gets.",
        "cpu, memory and storage, each with a size; a GPU only where one is wanted.",
        good "memory:\n  size: 4Gi",
        bad "# memory is missing";
    "bad-quantity" Sdl "The quantity cannot be read",
        "A number with an unknown suffix, or no number at all. Upper and lower case differ: m is a thousandth, M a million.",
        "CPU: 0.5, 2 or 500m. Memory and storage: bytes, or k, M, G, T, P, E (powers of 1000), Ki, Mi, Gi, Ti, Pi, Ei (powers of 1024). GPU: whole pieces.",
        good "units: 500m",
        bad "units: 2cores";
    "number-not-whole" SdlForNpm "The npm package writes a number that no provider can read",
        "The npm package does not round: it writes fractions, exponents or missing values where the chain has whole numbers. The document is accepted there and its manifest is refused everywhere. A warning.",
        "Whole thousandths of a CPU; whole numbers where the message says so.",
        good "units: 500m",
        bad "units: 0.5m";
    "hash-not-reproducible" SdlForNpm "The hash is one that no provider comes to",
        "The npm package spells this manifest differently from every provider, so the upload will be refused. A warning.",
        "Lists that are not empty for permissions and next_cases, and no line or paragraph separators of Unicode in texts.",
        good "- LOG_LEVEL=info",
        bad "- \"LOG_LEVEL=\\u2028\"";
    "resource-range" Sdl "The resource is too small or too large",
        "The chain limits what one replica may have.",
        "CPU 10 to 384000 thousandths, memory 1 MiB to 2 TiB, each volume 5 MiB to 32 TiB, at most 24 GPUs.",
        good "units: 500m",
        bad "units: 5m";
    "group-total" Sdl "The group is too small or too large",
        "The chain limits what all replicas of a placement have together; a count of 0 can leave nothing at all.",
        "CPU up to 19200000 thousandths, memory up to 109951162777600 bytes, at most 1200 GPUs; CPU and memory more than 0.",
        good "profile: large\ncount: 1",
        bad "profile: large\ncount: 2000";
    "unknown-attribute" Sdl "The attribute is not known",
        "CPU, GPU and storage have attributes of a closed list, unlike placements.",
        "cpu: arch. gpu: vendor. storage: persistent and class.",
        good "arch: amd64",
        bad "cores: amd64";
    "storage-attributes" Sdl "The storage attributes do not go together",
        "Class and persistence depend on each other: persistent storage has a class, memory is never persistent, and plain ephemeral storage has no class.",
        "persistent: true with class default, beta1, beta2 or beta3; persistent: false with class ram or none.",
        good "class: beta3",
        bad "class: fast";
    "duplicate-volume" Sdl "The volume's name stands twice",
        "Volumes of a profile are told apart by name. One without a name is called default, so two without names collide too.",
        "A name of its own for each volume.",
        good "- name: scratch",
        bad "- name: data";
    "gpu-attributes" Sdl "GPU units and attributes do not go together",
        "Units without attributes do not say which GPU is wanted; attributes without units ask for nothing.",
        "units from 1 with attributes/vendor, or neither.",
        good "units: 1\nattributes:\n  vendor:\n    nvidia:\n      - model: a100\n        ram: 80Gi\n        interface: sxm",
        bad "units: 1";
    "gpu-vendor" Sdl "The GPU's vendor is missing or not known",
        "The attributes must say whose GPU is wanted.",
        "vendor: {nvidia: []} for any model, or a list of models below nvidia.",
        good "vendor:\n  nvidia:\n    - model: a100\n      ram: 80Gi\n      interface: sxm",
        bad "vendor:";
    "gpu-interface" Sdl "The GPU's interface is not known",
        "A model may be asked for with one of two interfaces.",
        "pcie or sxm.",
        good "interface: sxm",
        bad "interface: nvlink";
    "attribute-key" Sdl "The attribute's key is not allowed",
        "The chain checks keys of resource attributes. GPU models become part of such a key.",
        "2 to 128 letters, digits, '_', '/', '.', '-', a letter first, perhaps '*' last.",
        good "- model: a100",
        bad "- model: a 100";
    "duplicate-attribute" Sdl "The attribute stands twice",
        "Two attributes of one resource have the same key; of GPUs, the same model, memory and interface.",
        "Each key once.",
        good "nvidia:\n  - model: a100\n    ram: 80Gi\n    interface: sxm",
        bad "nvidia:\n  - model: a100\n  - model: a100";
    "price" Sdl "The price cannot be read",
        "The amount is the most that is paid for one replica and block.",
        "A positive decimal number with at most 18 digits after the point, without exponent or unit.",
        good "amount: 100",
        bad "amount: 1e2";
    "denom" Sdl "The denom is not one",
        "The denom names the coin that is paid in.",
        "uact; in general a letter and 2 to 127 letters, digits and /:._- behind it.",
        good "small:\n  denom: uact",
        bad "small:\n  denom: u act";
    "price-range" Sdl "The price is too high",
        "The chain takes no higher price for one replica and block.",
        "At most 10000000.",
        good "amount: 10000",
        bad "amount: 10000001";
    "mixed-denoms" Sdl "Prices are in different denoms",
        "A deployment is paid from one account in one coin.",
        "The same denom in every price of the document.",
        good "large:\n  denom: uact",
        bad "large:\n  denom: uakt";
    "group-name-empty" Groups "The group has no name",
        "A group is named after its placement, and the manifest's groups are found by that name.",
        "A name that is not empty.",
        good "\"name\": \"east\"",
        bad "\"name\": \"\"";
    "resource-id" Groups "The resource's number is not allowed",
        "Services refer to the resource units of their group by number.",
        "From 1, each once in a group. Tools number them.",
        good "\"id\": 1",
        bad "\"id\": 0";
}
