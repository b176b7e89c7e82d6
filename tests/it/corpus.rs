//! Recordings and documents outside the repository, found by `LESSOR_CORPUS` (default `../shared`).

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// Where a folder or file of the corpus is. Without a corpus the caller's test is skipped, which CI does not accept.
pub(crate) fn find(path: &str) -> Option<PathBuf> {
    let root = env::var_os("LESSOR_CORPUS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    if root.is_dir() {
        return Some(root.join(path));
    }
    assert!(
        env::var("CI").as_deref() != Ok("true"),
        "corpus not found at {}: set LESSOR_CORPUS",
        root.display()
    );
    println!("skipped: corpus not found");
    None
}

/// The text of a file of the corpus.
pub(crate) fn read(path: &str) -> Option<String> {
    find(path).map(|path| {
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    })
}

/// The JSON in a file.
pub(crate) fn json(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The JSON files of a folder, sorted, each with its name without the extension.
pub(crate) fn json_files(folder: &Path) -> Vec<(String, Value)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), json(path)))
        .collect()
}
