//! Rules of the uploaded manifest: its JSON, its own order, and its fit to the deployment on chain.

use super::rules;

rules! {
    "json-syntax" WholeManifest "The manifest is not JSON",
        "The body cannot be read as JSON. Line and column say where it stops being that.",
        "The JSON that lessor sdl manifest or a tenant's tool writes.",
        good "[{\"name\": \"east\", \"services\": []}]",
        bad "[{\"name\": \"east\", \"services\": [}]";
    "manifest-empty" WholeManifest "The manifest has no groups",
        "An empty manifest would run nothing.",
        "One group for each group of the deployment.",
        good "[{\"name\": \"east\", \"services\": […]}]",
        bad "[]";
    "group-empty" WholeManifest "A group has no services",
        "Every group of the deployment is paid for and must run something.",
        "At least one service in each group.",
        good "[{\"name\": \"east\", \"services\": [{\"name\": \"web\", …}]}]",
        bad "[{\"name\": \"east\", \"services\": []}]";
    "duplicate-group" WholeManifest "Two groups have the same name",
        "Groups are found by their names.",
        "Each name once. In an SDL document that follows by itself.",
        good "[{\"name\": \"east\", …}, {\"name\": \"west\", …}]",
        bad "[{\"name\": \"east\", \"services\": []}, {\"name\": \"east\", \"services\": []}]";
    "no-global-service" WholeManifest "Nothing is exposed to the world",
        "At least one expose of the whole deployment must be reachable from outside.",
        "An expose with global: true.",
        good "\"expose\": [{\"port\": 80, \"proto\": \"TCP\", \"global\": true, …}]",
        bad "[{\"name\": \"east\", \"services\": [{\"name\": \"web\", \"image\": \"nginx\", \"expose\": []}]}]";
    "services-not-sorted" Manifest "The services are not sorted",
        "The hash depends on the order, so there is only one: by the names' bytes.",
        "Services of a group sorted by name. Tools do that.",
        good "\"name\": \"cache\"",
        bad "\"name\": \"zebra\"";
    "expose-not-sorted" Manifest "The exposes are not sorted",
        "The hash depends on the order, so there is only one.",
        "Exposes of a service sorted by service, port, protocol, global ones first. Tools do that.",
        good "\"port\": 8080",
        bad "\"port\": 1";
    "resources-id" Manifest "The resources have no number",
        "A service says by number which resource unit of its group it uses.",
        "The number of a unit, from 1.",
        good "\"id\": 1",
        bad "\"id\": 0";
    "manifest-version" Manifest "The manifest is not the deployment's",
        "The manifest's hash is not the one that the deployment carries on chain. Anything that was changed since the deployment was made or updated changes the hash.",
        "The manifest of the last update. Update the deployment first, then upload.",
        good "\"image\": \"nginx:1.27\"",
        bad "\"image\": \"nginx:1.28\"";
    "group-count" Groups "The manifest has more or fewer groups than the deployment",
        "Groups cannot be added or removed once a deployment is made.",
        "One group for each group of the deployment, with the same names.",
        good "[{\"name\": \"east\", …}]",
        bad "[]";
    "unknown-group" Groups "The deployment has no such group",
        "A group of the manifest has a name that no group on chain has.",
        "The names of the placements with which the deployment was made.",
        good "\"name\": \"east\"",
        bad "\"name\": \"west\"";
    "unknown-resources" Manifest "The group has no such resources",
        "A service refers to a resource unit that its group on chain does not have.",
        "The number of a unit of the same group.",
        good "\"id\": 2",
        bad "\"id\": 7";
    "too-many-replicas" Manifest "The service has more replicas than were ordered",
        "The replicas of all services that use a resource unit come to more than its count on chain.",
        "Counts that come to the unit's count exactly.",
        good "\"count\": 1",
        bad "\"count\": 3";
    "resources-differ" Manifest "The resources are not those that were ordered",
        "CPU, GPU, memory and storage of a service must equal its resource unit on chain, attributes and order included.",
        "The resources with which the deployment was made; to change them, make a new deployment.",
        good "\"size\": {\"val\": \"536870912\"}",
        bad "\"size\": {\"val\": \"1073741824\"}";
    "too-many-endpoints" Manifest "The service exposes more than was ordered",
        "Every global expose uses one endpoint of its resource unit: HTTP, port or address. There are not enough of that kind.",
        "As many exposes of each kind as the deployment was made with.",
        good "\"global\": false",
        bad "\"global\": true";
    "unused-resources" Manifest "Something that was ordered is not used",
        "Endpoints or replicas on chain are left over. What is paid for must be used.",
        "As many exposes of each kind, and as many replicas, as the deployment was made with.",
        good "\"externalPort\": 80",
        bad "\"externalPort\": 8081";
}
