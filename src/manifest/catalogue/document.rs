//! Rules of the document as a whole: its text, its sections, and the names that they share.

use super::rules;

rules! {
    "unreadable" Words "The file cannot be read",
        "The file is missing, is a folder without documents, or its permissions forbid reading it.",
        "A path to a file that can be read, a folder with documents below it, or `-` for standard input.",
        good "lessor sdl check deploy.yaml",
        bad "lessor sdl check no-such-file.yaml";
    "not-utf8" Words "The document is not UTF-8",
        "The bytes are no text in UTF-8, so nothing in them can be read for certain.",
        "Text in UTF-8, with or without a byte order mark.",
        good "a file saved as UTF-8",
        bad "a file saved as UTF-16 or Latin-1";
    "document-too-large" Words "The document is too large",
        "The document has more than 1 MiB of text, more than 10,000 anchors, or more than 50,000 values when every alias is expanded.",
        "At most 1,048,576 bytes, 10,000 anchors and 50,000 values with aliases expanded.",
        good "a document of some kilobytes",
        bad "a list of anchors, each of which repeats the one before ten times";
    "document-too-deep" Words "The document is nested too deep",
        "Lists and mappings stand in each other more than 64 deep when every alias is expanded. No SDL needs more than a dozen.",
        "At most 64 levels.",
        good "a document as the SDL's sections ask for it",
        bad "seventy lists, each the only item of the one around it";
    "document-empty" WholeSdl "The document is empty",
        "There is no value in the document, only white space or comments.",
        "A mapping with version, services, profiles and deployment.",
        good "version: \"2.0\"",
        bad "# nothing yet";
    "yaml-syntax" Sdl "The document is not YAML",
        "The text cannot be read as YAML. Often a tab stands in the indentation, a quote or bracket is not closed, or a colon lacks its space.",
        "YAML 1.2. Indent with spaces; quote texts with colons, braces or a leading asterisk.",
        good "image: nginx:1.27",
        bad "image: [nginx:1.27";
    "yaml-documents" SdlForNpm "The text has several documents",
        "The npm package refuses a text with more than one YAML document; Go's reading takes the first and ignores the rest.",
        "One document. Remove the line with three dashes, or what follows it.",
        good "endpoints:",
        bad "---\nendpoints:";
    "yaml-tag" SdlForNpm "The tag is not known",
        "The npm package refuses lists and mappings with tags of their own.",
        "Values without a tag, or with the one that YAML has for them.",
        good "read: [logs]",
        bad "read: !permissions [logs]";
    "duplicate-key" Sdl "A key stands twice",
        "A mapping has the same key twice, so that one of the values would be lost.",
        "Each key once in a mapping. Only whole sections may stand twice at the top level, the later adding to the earlier.",
        good "kind: ip",
        bad "kind: ip\nkind: ip";
    "wrong-type" Sdl "A value has the wrong type",
        "A list stands where a text is wanted, a text where a number is wanted, and so on. In a manifest's JSON a number may also be out of range.",
        "What the message says: a text, a whole number, true or false, a list or a mapping.",
        good "- port: 8080",
        bad "- port: eighty";
    "unknown-section" Sdl "The section is not known",
        "The document has a top-level key that an SDL does not have. Extensions that begin with x- are not allowed either.",
        "version, services, profiles, deployment, endpoints, reclamation, include.",
        good "endpoints:",
        bad "endpoint:";
    "unknown-key" SdlForNpm "The key is not known",
        "The npm package refuses keys that it does not know; Go's reading ignores them. Typical is depends_on, which other formats have.",
        "The keys of the published schema. Remove the key, or correct its spelling.",
        good "image: nginx:1.27",
        bad "image: nginx:1.27\ndepends_on: [cache]";
    "missing-key" SdlForNpm "A key is missing",
        "The npm package wants a key that Go's reading has a default for or does without.",
        "The key that the message names, with a value.",
        good "profile: large\ncount: 1",
        bad "profile: large";
    "version-missing" Sdl "The document has no version",
        "Without a version nobody knows by which rules the document is to be read.",
        "version: \"2.0\", or version: \"2.1\" for documents whose services share a compute profile's unit.",
        good "version: \"2.0\"",
        bad "# version: \"2.0\"";
    "version-unknown" Sdl "The version is not known",
        "The version is neither 2.0 nor 2.1 nor a later one. Version 1 has not been read for years.",
        "\"2.0\" or \"2.1\", best in quotes.",
        good "version: \"2.0\"",
        bad "version: \"1.0\"";
    "unknown-service" Sdl "The deployment names a service that does not exist",
        "A key below deployment is the name of no service.",
        "A name that stands below services.",
        good "cache:\n  east:\n    profile: small",
        bad "cach:\n  east:\n    profile: small";
    "unknown-placement" Sdl "The deployment names a placement that does not exist",
        "A service is to be deployed to a placement that profiles/placement does not have.",
        "A name that stands below profiles/placement.",
        good "cache:\n  east:\n    profile: small",
        bad "cache:\n  west:\n    profile: small";
    "unknown-compute-profile" Sdl "The deployment names a compute profile that does not exist",
        "A service is to run with a compute profile that profiles/compute does not have.",
        "A name that stands below profiles/compute.",
        good "profile: small",
        bad "profile: smal";
    "no-pricing" Sdl "The placement has no price for the profile",
        "The placement's pricing says nothing of the compute profile that is deployed there, so nobody knows what may be paid.",
        "An entry below the placement's pricing, named as the profile, with denom and amount.",
        good "small:\n  denom: uact\n  amount: 100",
        bad "tiny:\n  denom: uact\n  amount: 100";
    "service-not-deployed" SdlForNpm "A service is not deployed",
        "The npm package refuses services that stand below services but not below deployment; Go's reading ignores them.",
        "Deploy the service, or remove it.",
        good "cache:\n  east:\n    profile: small\n    count: 1",
        bad "# cache is not deployed";
    "no-groups" WholeSdl "Nothing is deployed",
        "The document deploys no service, so there is nothing to order.",
        "At least one service below deployment, with a placement, a profile and a count.",
        good "deployment:\n  web:\n    east:\n      profile: large\n      count: 1",
        bad "version: \"2.0\"\ndeployment: {}";
    "endpoint-name" Sdl "The endpoint's name is not allowed",
        "The name of a leased address ends up in the names of cluster objects.",
        "At least two of lower-case letters, digits, '-' and '_', a letter first.",
        good "front:\n  kind: ip",
        bad "F:\n  kind: ip";
    "endpoint-kind" Sdl "The endpoint's kind is not known",
        "An endpoint is a leased address; there is no other kind.",
        "kind: ip",
        good "kind: ip",
        bad "kind: dns";
    "endpoint-not-used" Sdl "The endpoint is not used",
        "A leased address is declared, and no deployed service's expose names it. It would be paid for in vain.",
        "Name it in an expose's to, as ip, or remove it.",
        good "front:\n  kind: ip",
        bad "front:\n  kind: ip\nspare:\n  kind: ip";
    "reclamation-window" Sdl "The reclamation window is not a duration",
        "The window says how long a provider must warn before it takes the lease back.",
        "A positive duration such as 24h, 90m or 1h30m. There is no unit for days. The npm package wants one whole number with one unit.",
        good "min_window: 24h",
        bad "min_window: 1 day";
}
