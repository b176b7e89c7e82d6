//! The rules in which the readings differ, each with its name and its reason.

use crate::manifest::Dialect;

/// One rule that the dialects do not share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) name: &'static str,
    pub(super) reason: &'static str,
}

macro_rules! topics {
    ($($constant:ident $name:literal $reason:literal;)+) => {
        impl Topic {
            $(pub(super) const $constant: Self = Self { name: $name, reason: $reason };)+
        }
    };
}

topics! {
    EMPTY_LIST "empty-list" "Go keeps an empty list apart from an absent one, npm writes both as null.";
    CREDENTIALS_EMAIL "credentials-email" "Go drops the email of credentials in version 2.0, npm keeps it.";
    CREDENTIALS_SPACES "credentials-spaces" "Go trims credentials in version 2.1, npm copies them.";
    SHARED_UNIT "shared-unit" "Go gives each service of version 2.0 a resource unit of its own, npm shares the unit of a profile.";
    UNIT_ORDER "unit-order" "Go numbers units in the order of the bytes of the services' names, npm in that of a dictionary.";
    SERVICE_ORDER "service-order" "Go sorts services by the bytes of their names, npm as a dictionary does.";
    NAME_TEXT "name-text" "Go keeps the text of a name as written, npm first reads it as a value.";
    CPU_FRACTION "cpu-fraction" "Go cuts fractions of a thousandth of a core off, npm keeps them.";
    SIZE_FRACTION "size-fraction" "Go cuts fractions of a byte off, npm rounds up.";
    SIZE_SUFFIX "size-suffix" "Go's suffixes of sizes are case-sensitive, npm's are not, and npm needs one.";
    CPU_SUFFIX "cpu-suffix" "Go takes numbers and the suffix m, npm takes any letters and lacks signs and exponents.";
    STORAGE_ORDER "storage-order" "Go sorts volumes by size and persistence, npm keeps the document's order.";
    STORAGE_NAME "storage-name" "Go calls the only volume of a mapping default whatever its name, npm keeps the name.";
    STORAGE_ATTRIBUTES "storage-attributes" "Go fills in and normalises class and persistence, npm takes them as they stand.";
    GPU_ORDER "gpu-order" "Go sorts the models of GPUs, npm keeps the document's order.";
    GPU_MODEL "gpu-model" "Go takes an empty list of models for any model and rewrites their memory, npm keeps what is written.";
    ATTRIBUTE_ORDER "attribute-order" "Go sorts attributes by their bytes, npm as a dictionary does.";
    ATTRIBUTE_TEXT "attribute-text" "Go keeps an attribute's source text, npm reads the value first and then writes it.";
    ATTRIBUTE_EMPTY "attribute-empty" "Go leaves an attribute's empty value out of the manifest, npm writes it.";
    EXPOSE_WITHOUT_TO "expose-without-to" "Go exposes a port that names nobody to the whole group, npm to nobody.";
    EXPOSE_ORDER "expose-order" "Go sorts exposes by bytes and reorders equal ones from the thirteenth on, npm sorts as a dictionary does.";
    ENDPOINT_ORDER "endpoint-order" "Go lists a service's endpoints in the order of its sorted exposes, npm in the document's.";
    GROUP_ENDPOINT_ORDER "group-endpoint-order" "Go lists a unit's endpoints as the services have them or by number, npm by kind and number.";
    ENDPOINT_NUMBER "endpoint-number" "Go numbers leased addresses beside exposes to other services, npm only among themselves.";
    HTTP_ZERO "http-zero" "Go takes zero for an HTTP option that is not there, npm keeps it.";
    NEXT_CASES "next-cases" "Go takes an empty list of next cases for the usual ones, npm keeps it empty.";
    OCTAL "octal" "Go reads a number with a leading zero as octal, npm as decimal.";
    PERMISSIONS_EMPTY "permissions-empty" "Go leaves an empty list of permissions out, npm writes it, so no provider comes to npm's hash.";
    EMPTY_MOUNTS "empty-mounts" "Go writes parameters without mounts with null, the npm release with an empty list.";
    LINE_SEPARATOR "line-separator" "Go escapes the line separators of Unicode, npm does not, so no provider comes to npm's hash.";
    NUMBER_RANGE "number-range" "Go refuses numbers beyond 32 bits, npm writes them, and no provider can read them.";
    PRICE_TEXT "price-text" "Go reads a price as written, npm reads a number first, whose text may be no price.";
    UNKNOWN_KEYS "unknown-keys" "Go passes over most keys that it does not know, npm refuses every one.";
    REQUIRED_KEYS "required-keys" "npm wants every key that the published schema requires, Go those that it uses.";
    EXACT_TYPES "exact-types" "Go takes any scalar for text, any null for nothing and any spelling of a number, npm wants the type of the schema.";
    VERSION_TEXT "version-text" "Go reads versions leniently, npm takes the texts \"2.0\" and \"2.1\" in quotes.";
    YAML_DOCUMENT "yaml-document" "Go reads the first document and merges repeated sections, npm wants one document and every key once.";
    UNDEPLOYED_SERVICE "undeployed-service" "Go passes over a service that is not deployed, npm refuses it.";
    UNKNOWN_SERVICE "unknown-service" "Go refuses a deployment of a service that is not there, npm only where its placement has others.";
    MOUNTS "mounts" "npm wants a mount for every persistent volume and a name for every mounted one, Go asks for less.";
    CREDENTIALS "credentials" "Go wants credentials that are not blank, npm such that have a least length.";
    GPU_UNITS "gpu-units" "Go counts the text \"0\" and other vendors' GPUs as nothing, npm refuses them.";
    IP_PORT "ip-port" "Go compares ports and protocols on a leased address as they are written, npm as they are meant.";
    DENOM "denom" "Go leaves the denom to the chain as long as there is one, npm knows which there are.";
    PRICE "price" "Go refuses prices of zero and exponents, npm takes them.";
    PERMISSION "permission" "Go takes any permission, npm those that it knows.";
    PROTOCOL "protocol" "Go takes tcp and udp in any case and nothing for tcp, npm four spellings.";
    RECLAMATION "reclamation" "Go sums hours, minutes and fractions, npm takes one whole number and a unit.";
    PORT_RANGE "port-range" "npm checks every port where it stands, Go the inner ports of what is deployed.";
    LIMITS "limits" "Go applies the limits and grammars of chain and provider at once, npm leaves them to those.";
    RAM_READ_ONLY "ram-read-only" "Go refuses read-only volumes of class ram in version 2.1, npm takes them.";
    DUPLICATE_VOLUME "duplicate-volume" "Go refuses volumes of one name and a list without any, npm takes both.";
    CONFIDENTIAL "confidential" "The npm release does not know confidential computing, and Go checks it where it is deployed.";
    GO_RULE "go-rule" "Only Go has this rule.";
    NPM_RULE "npm-rule" "Only npm has this rule.";
}

impl Topic {
    /// The rule by which one reading refuses what the other accepts.
    pub(super) fn of_refusal(code: &str, pointer: &str, by: Dialect) -> Self {
        match (code, by) {
            ("unknown-key" | "unknown-section" | "unknown-attribute", _) => Self::UNKNOWN_KEYS,
            ("missing-key" | "image-empty", Dialect::Npm | Dialect::NpmHead) => Self::REQUIRED_KEYS,
            ("wrong-type", _) => Self::EXACT_TYPES,
            ("version-unknown" | "version-missing", _) => Self::VERSION_TEXT,
            ("duplicate-key" | "yaml-documents" | "yaml-tag" | "yaml-syntax", _) => {
                Self::YAML_DOCUMENT
            }
            ("service-not-deployed", _) => Self::UNDEPLOYED_SERVICE,
            (
                "unknown-service" | "unknown-compute-profile" | "unknown-placement" | "no-pricing",
                _,
            ) => Self::UNKNOWN_SERVICE,
            ("mount-missing" | "unknown-volume" | "mount-path" | "duplicate-mount", _) => {
                Self::MOUNTS
            }
            ("credentials", _) => Self::CREDENTIALS,
            ("gpu-attributes" | "gpu-vendor" | "gpu-interface", _) => Self::GPU_UNITS,
            ("ip-port-collision" | "ip-not-global" | "unknown-endpoint", _) => Self::IP_PORT,
            ("denom" | "mixed-denoms", _) => Self::DENOM,
            ("price", _) => Self::PRICE,
            ("permission", _) => Self::PERMISSION,
            ("unknown-protocol", _) => Self::PROTOCOL,
            ("reclamation-window", _) => Self::RECLAMATION,
            ("bad-quantity", _) if pointer.ends_with("/cpu/units") => Self::CPU_SUFFIX,
            ("bad-quantity", _) => Self::SIZE_SUFFIX,
            ("storage-attributes", _) => Self::STORAGE_ATTRIBUTES,
            ("ram-read-only", _) => Self::RAM_READ_ONLY,
            ("duplicate-volume" | "resources-missing", _) => Self::DUPLICATE_VOLUME,
            ("tee", _) => Self::CONFIDENTIAL,
            ("http-option-range" | "next-case" | "port-range", Dialect::Npm | Dialect::NpmHead) => {
                Self::PORT_RANGE
            }
            (
                "resource-range"
                | "group-total"
                | "price-range"
                | "env-name"
                | "hostname"
                | "service-name"
                | "no-global-service"
                | "no-groups"
                | "port-range"
                | "attribute-key"
                | "duplicate-attribute"
                | "group-empty"
                | "image-empty"
                | "duplicate-hostname"
                | "document-too-large"
                | "document-too-deep",
                _,
            ) => Self::LIMITS,
            (_, Dialect::Go) => Self::GO_RULE,
            (_, Dialect::Npm | Dialect::NpmHead) => Self::NPM_RULE,
        }
    }
}
