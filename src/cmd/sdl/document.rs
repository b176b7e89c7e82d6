//! The documents that a command line names: files, whole folders, standard input.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::manifest::{MAX_DOCUMENT_BYTES, Violation};

/// How deep folders are looked into.
const MAX_DEPTH: usize = 32;

/// One document that was named or found.
#[derive(Debug)]
pub(super) struct Document {
    name: String,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    Stdin,
    File(PathBuf),
    /// A folder that cannot be listed, or has no document.
    Nothing(String),
}

impl Document {
    fn new(path: &Path, origin: Origin) -> Self {
        Self { name: path.display().to_string(), origin }
    }

    /// As given on the command line, or the path below the folder that was given.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its bytes, one more than is allowed at most.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub(super) fn read(&self) -> Result<Vec<u8>, Violation> {
        match &self.origin {
            Origin::Stdin => limited(io::stdin().lock()),
            Origin::File(path) => File::open(path).and_then(limited),
            Origin::Nothing(why) => Err(io::Error::other(why.clone())),
        }
        .map_err(|error| Violation::whole("unreadable", error.to_string()))
    }
}

fn limited(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_DOCUMENT_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The documents in the order in which they were named, those of a folder sorted.
pub(super) fn find(named: &[PathBuf]) -> Vec<Document> {
    let mut documents = Vec::new();
    for path in named {
        if path.as_os_str() == "-" {
            documents.push(Document::new(path, Origin::Stdin));
        } else if path.is_dir() {
            let found = documents.len();
            walk(path, MAX_DEPTH, &mut documents);
            if documents.len() == found {
                let why = "no .yaml or .yml file is below this folder".to_owned();
                documents.push(Document::new(path, Origin::Nothing(why)));
            }
        } else {
            documents.push(Document::new(path, Origin::File(path.clone())));
        }
    }
    documents
}

/// Links to folders are not followed: they may lead back.
fn walk(folder: &Path, depth: usize, documents: &mut Vec<Document>) {
    let listed = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = match listed {
        Ok(entries) if depth > 0 => entries,
        Ok(_) => {
            let why = format!("folders are looked into {MAX_DEPTH} deep");
            documents.push(Document::new(folder, Origin::Nothing(why)));
            return;
        }
        Err(error) => {
            documents.push(Document::new(folder, Origin::Nothing(error.to_string())));
            return;
        }
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, depth - 1, documents);
        } else if is_yaml(&path) && path.is_file() {
            documents.push(Document::new(&path, Origin::File(path.clone())));
        }
    }
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        extension.eq_ignore_ascii_case("yaml") || extension.eq_ignore_ascii_case("yml")
    })
}
