//! The dashboard's page and its files: embedded, kept by browsers as long as they are the same, and from nowhere else.

use std::{collections::BTreeSet, fs, io::Read, path::Path};

use axum::body::Body;
use lessor::gateway::router;

use super::world::{World, request};

/// What stands in double quotes after each `name=`.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    html.split(&format!("{name}=\"")).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// The addresses that a page loads.
fn loaded(html: &str) -> Vec<&str> {
    let mut found = attributes(html, "src");
    found.extend(attributes(html, "href"));
    found.into_iter().filter(|address| address.contains("/assets/")).collect()
}

#[tokio::test]
async fn the_page_says_how_things_stand_without_a_script() {
    let world = World::new().await;
    let answer = world.get("/", None).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    let html = answer.text().to_owned();
    assert!(html.contains("class=\"verdict-word\">degraded<"), "{html}");
    assert!(html.contains(world.state.provider.address.as_str()));
    assert!(!html.contains("{{"), "{html}");
}

#[tokio::test]
async fn pages_load_from_here_only_and_nothing_inline() {
    let world = World::new().await;
    for path in ["/", "/docs"] {
        let answer = world.get(path, None).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'self';"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let html = answer.text().to_owned();
        let local = |address: &&str| address.starts_with('/') && !address.starts_with("//");
        assert!(attributes(&html, "src").iter().all(local), "{path}");
        assert!(attributes(&html, "href").iter().all(local), "{path}");
        assert!(!html.contains("style=") && !html.contains("<style"), "{path}");
        assert_eq!(html.matches("<script").count(), attributes(&html, "src").len(), "{path}");
    }
}

#[tokio::test]
async fn a_file_is_kept_by_its_tag_and_comes_compressed_when_asked_for_so() {
    let world = World::new().await;
    for page in ["/", "/docs"] {
        let html = world.get(page, None).await.text().to_owned();
        for path in loaded(&html) {
            let plain = world.get(path, None).await;
            assert_eq!(plain.status, 200, "{path}");
            assert!(plain.header("cache-control").contains("immutable"), "{path}");
            assert!(plain.header("content-encoding").is_empty(), "{path}");
            let media = match path.rsplit('.').next().unwrap() {
                "js" => "text/javascript; charset=utf-8",
                "css" => "text/css; charset=utf-8",
                "svg" => "image/svg+xml",
                other => panic!("{other}"),
            };
            assert_eq!(plain.header("content-type"), media, "{path}");

            let mut again = request("GET", path, None, Body::empty());
            again.headers_mut().insert("if-none-match", plain.header("etag").parse().unwrap());
            let same = world.send(again).await;
            assert_eq!((same.status.as_u16(), same.body.len()), (304, 0), "{path}");

            for (accepted, compressed) in [("br, gzip", true), ("gzip;q=0, br", false)] {
                let mut asked = request("GET", path, None, Body::empty());
                asked.headers_mut().insert("accept-encoding", accepted.parse().unwrap());
                let answer = world.send(asked).await;
                assert_eq!(answer.header("content-encoding") == "gzip", compressed, "{path}");
                let mut bytes = answer.body.to_vec();
                if compressed {
                    bytes.clear();
                    let mut decoder = flate2::read::GzDecoder::new(answer.body.as_ref());
                    decoder.read_to_end(&mut bytes).unwrap();
                }
                assert!(bytes == plain.body, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn a_file_of_another_version_or_outside_is_not_there() {
    let world = World::new().await;
    let html = world.get("/", None).await.text().to_owned();
    let version = loaded(&html)[0].split('/').nth(2).unwrap();
    for path in [
        "/assets/0123456789abcdef0123/app.js".to_owned(),
        format!("/assets/{version}/nothing.js"),
        format!("/assets/{version}/../Cargo.toml"),
        format!("/assets/{version}/..%2f..%2fCargo.toml"),
        format!("/assets/{version}/vendor/vendor.json"),
    ] {
        assert_eq!(world.get(&path, None).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_public_listener_has_the_page_and_offers_no_login() {
    let mut world = World::new().await;
    assert!(world.get("/", None).await.text().contains("data-operator=\"yes\""));
    world.router = router::public(&world.state);
    let html = world.get("/", None).await.text().to_owned();
    assert!(html.contains("data-operator=\"no\""));
    for path in loaded(&html) {
        assert_eq!(world.get(path, None).await.status, 200, "{path}");
    }
}

/// Every module that another one imports, with those that they import.
fn modules(root: &Path, at: &str, found: &mut BTreeSet<String>) {
    if !found.insert(at.to_owned()) {
        return;
    }
    let text = fs::read_to_string(root.join(at)).unwrap();
    let folder = at.rsplit_once('/').map_or("", |(folder, _)| folder);
    let imports = text.lines().filter(|line| line.starts_with("import "));
    for name in imports.filter_map(|line| line.split("from \"").nth(1)?.split('"').next()) {
        let next = match name.split_once('/') {
            Some(("..", rest)) => rest.to_owned(),
            Some((".", rest)) if folder.is_empty() => rest.to_owned(),
            Some((".", rest)) => format!("{folder}/{rest}"),
            _ => panic!("{at} imports {name}"),
        };
        modules(root, &next, found);
    }
}

#[tokio::test]
async fn every_module_that_the_page_imports_is_embedded_and_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    let mut found = BTreeSet::new();
    modules(&root, "app.js", &mut found);
    let world = World::new().await;
    let html = world.get("/", None).await.text().to_owned();
    let app = loaded(&html).into_iter().find(|path| path.ends_with("/app.js")).unwrap();
    let base = app.strip_suffix("app.js").unwrap();
    println!("{} modules", found.len());
    assert!(found.len() > 10);
    for module in found {
        let answer = world.get(&format!("{base}{module}"), None).await;
        let file = fs::read(root.join(&module)).unwrap();
        assert_eq!(answer.status, 200, "{module} is not embedded");
        assert!(answer.body == file, "{module}");
        assert!(String::from_utf8(file).unwrap().lines().count() <= 600, "{module} is too long");
    }
}
