//! `lessor sdl` as a tenant runs it.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{
    corpus,
    process::{Done, file, lessor, run},
};

fn sdl(arguments: &[&str]) -> Done {
    let mut command = lessor(&["sdl"]);
    run(command.args(arguments))
}

fn with_input(command: &mut Command, input: &[u8]) -> Done {
    let mut input_file = tempfile::tempfile().unwrap();
    input_file.write_all(input).unwrap();
    std::io::Seek::rewind(&mut input_file).unwrap();
    run(command.stdin(Stdio::from(input_file)))
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn web() -> String {
    fs::read_to_string(file("deploy/examples/web.yaml")).unwrap()
}

const KEYS: [&str; 6] = ["file", "valid", "hash", "groups", "manifest", "violations"];
const VIOLATION_KEYS: [&str; 6] = ["code", "pointer", "line", "column", "message", "reference"];

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn the_recorded_documents_get_one_line_each_with_the_recorded_groups_manifest_and_hash() {
    let Some(folder) = corpus::find("sdl") else { return };
    let done = sdl(&["check", "--format", "json", folder.to_str().unwrap()]);
    assert_eq!((done.code, done.err.as_str()), (Some(1), ""));
    let lines = done.json();
    let by_file: BTreeMap<&str, &Value> =
        lines.iter().map(|line| (line["file"].as_str().unwrap(), line)).collect();
    assert_eq!(by_file.len(), lines.len());
    assert!(lines.is_sorted_by_key(|line| line["file"].as_str().unwrap().replace('/', "\0")));
    let records = corpus::json(&folder.join("expected.json"));
    let records = records.as_array().unwrap();
    let mut accepted = 0;
    for record in records {
        let path = folder.join(record["file"].as_str().unwrap());
        let line = by_file[path.to_str().unwrap()];
        let go = &record["go"];
        assert_eq!(keys(line), KEYS);
        assert_eq!(line["valid"], go["ok"], "{line}");
        if go["ok"] == true {
            accepted += 1;
            assert_eq!(line["hash"], go["version_hash"], "{}", path.display());
            assert_eq!(line["groups"], go["groups"], "{}", path.display());
            assert_eq!(line["manifest"], go["manifest"], "{}", path.display());
            assert_eq!(line["violations"], Value::Array(Vec::new()));
        } else {
            for member in ["hash", "groups", "manifest"] {
                assert_eq!(line[member], Value::Null);
            }
            let violations = line["violations"].as_array().unwrap();
            assert!(!violations.is_empty());
            assert!(violations.iter().all(|violation| keys(violation) == VIOLATION_KEYS));
        }
    }
    println!("{} documents, {accepted} accepted", records.len());
    assert_eq!(lines.len(), records.len());
}

#[test]
fn accepted_refused_and_unreadable_have_exit_codes_of_their_own_and_the_worst_counts() {
    let folder = tempfile::tempdir().unwrap();
    let good = file("deploy/examples/web.yaml");
    let bad = write(folder.path(), "bad.yaml", &web().replace("profile: web", "profile: wbe"));
    let missing = folder.path().join("missing.yaml").display().to_string();
    for (files, expected) in [
        (vec![&good], 0),
        (vec![&bad], 1),
        (vec![&missing], 2),
        (vec![&good, &bad], 1),
        (vec![&missing, &bad, &good], 2),
    ] {
        for action in ["check", "groups", "manifest", "hash"] {
            for format in ["text", "json"] {
                let mut command = lessor(&["sdl", action, "--format", format]);
                assert_eq!(run(command.args(&files)).code, Some(expected), "{action} {files:?}");
            }
        }
    }
    assert_eq!(sdl(&["check"]).code, Some(64));
    assert_eq!(sdl(&["check", "--format", "xml", &good]).code, Some(64));

    let line = &sdl(&["check", "--format", "json", &missing]).json()[0];
    assert_eq!(keys(line), KEYS);
    assert_eq!(line["violations"][0]["code"], "unreadable");
    let text = [&[0xff; 3][..], web().as_bytes()].concat();
    let done = with_input(&mut lessor(&["sdl", "check", "--format", "json", "-"]), &text);
    assert_eq!(done.code, Some(1));
    assert_eq!(done.json()[0]["violations"][0]["code"], "not-utf8");
}

#[test]
fn each_action_prints_what_it_says_and_the_json_line_is_the_same_for_all() {
    let good = file("deploy/examples/web.yaml");
    let line = sdl(&["check", "--format", "json", &good]).ok().out;
    let value: Value = serde_json::from_str(&line).unwrap();
    for action in ["groups", "manifest", "hash"] {
        assert_eq!(sdl(&[action, "--format", "json", &good]).ok().out, line);
    }
    let printed = |action: &str| sdl(&[action, &good]).ok().out;
    assert_eq!(printed("hash").trim_end(), value["hash"]);
    assert_eq!(serde_json::from_str::<Value>(&printed("groups")).unwrap(), value["groups"]);
    assert_eq!(serde_json::from_str::<Value>(&printed("manifest")).unwrap(), value["manifest"]);
    let several = sdl(&["hash", &good, &good]).ok().out;
    let sum = format!("{}  {good}", value["hash"].as_str().unwrap());
    assert_eq!(several.lines().collect::<Vec<_>>(), [&sum, &sum]);
    let piped = with_input(&mut lessor(&["sdl", "hash", "-"]), web().as_bytes()).ok();
    assert_eq!(piped.out, printed("hash"));

    // What is piped on is never a complaint.
    let refused = with_input(&mut lessor(&["sdl", "manifest", "-"]), b"version: '1.0'");
    assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""));
    assert!(refused.err.starts_with("error[version-unknown]: "), "{}", refused.err);
}

#[test]
fn codes_are_explained_and_listed() {
    let all = sdl(&["explain"]).ok().out;
    assert!(all.lines().count() > 60);
    for line in all.lines() {
        let code = line.split(' ').next().unwrap();
        let page = sdl(&["explain", code]).ok().out;
        assert!(page.contains(code) && page.contains("Allowed: "), "{page}");
    }
    let page = &sdl(&["explain", "port-range", "--format", "json"]).ok().json()[0];
    assert_eq!(page["bad"], "- port: 0");
    assert_eq!(sdl(&["explain", "no-such-code"]).code, Some(1));
}

#[test]
fn a_warning_does_not_hide_that_a_document_is_accepted() {
    let text = web().replace("units: 100m", "units: 0.5m");
    let mut command = lessor(&["sdl", "hash", "--dialect", "npm", "-"]);
    let done = with_input(&mut command, text.as_bytes());
    assert_eq!(done.code, Some(0));
    assert!(done.err.contains("warning[number-not-whole]: "), "{}", done.err);
    assert_eq!(done.out.trim_end().len(), 64);
}

#[test]
fn a_key_that_is_ignored_is_warned_of_and_accepted() {
    let text =
        web().replace("    image: nginx", "    depends_on: [db]\n    imag: x\n    image: nginx");
    let done = with_input(&mut lessor(&["sdl", "check", "-"]), text.as_bytes()).ok();
    assert!(done.out.contains("warning[unknown-key]: field \"depends_on\""), "{}", done.out);
    assert!(done.out.contains("did you mean \"image\"?"), "{}", done.out);
    assert!(done.out.contains("accepted, hash "), "{}", done.out);
    let mut json = lessor(&["sdl", "check", "--format", "json", "-"]);
    assert_eq!(
        with_input(&mut json, text.as_bytes()).ok().json()[0]["violations"],
        Value::Array(vec![])
    );
}

#[test]
fn the_differences_of_two_readings_are_shown_where_they_are() {
    let done = sdl(&["check", "--explain-differences", &file("deploy/examples/storage.yaml")]).ok();
    assert!(done.out.contains("difference[storage-order]: "), "{}", done.out);
    assert!(done.out.contains("= npm: default, data, scratch"), "{}", done.out);
}

#[test]
fn both_readings_are_told_when_their_differences_are_asked_for() {
    let good = file("deploy/examples/web.yaml");
    let done = sdl(&["check", "--explain-differences", &good]).ok();
    for reading in ["go reads hash ", "npm reads hash "] {
        assert!(done.out.contains(reading), "{}", done.out);
    }
    let json = ["check", "--explain-differences", "--format", "json", good.as_str()];
    assert!(sdl(&json).ok().json()[0]["differences"].is_array());
}

#[test]
fn a_folder_is_looked_through_in_order_and_counted_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["b.yml", "a/deep/z.YAML", "a.yaml", "a/notes.txt", ".hidden/x.yaml"] {
        write(root, name, &web());
    }
    write(root, "c.yaml", "version: '1.0'");
    std::os::unix::fs::symlink(root, root.join("a/loop")).unwrap();
    let done = sdl(&["check", root.to_str().unwrap()]);
    let names: Vec<_> = done.out.lines().filter(|line| line.contains(": accepted, ")).collect();
    let found = names
        .iter()
        .map(|line| line[root.to_str().unwrap().len() + 1..].split(':').next().unwrap());
    assert_eq!(found.collect::<Vec<_>>(), ["a/deep/z.YAML", "a.yaml", "b.yml"]);
    let count = "4 documents: 3 accepted, 1 refused, 0 unreadable\n";
    assert!(done.out.ends_with(count), "{}", done.out);
    assert_eq!(done.code, Some(1));

    fs::create_dir(root.join("empty")).unwrap();
    let empty = sdl(&["check", root.join("empty").to_str().unwrap()]);
    assert_eq!(empty.code, Some(2));
    assert!(empty.out.contains("no .yaml or .yml file"), "{}", empty.out);
}

#[test]
fn what_is_wrong_is_shown_like_a_compiler_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "deploy.yaml", &web().replace("profile: web", "profile: wbe"));
    let done = sdl(&["check", &path]);
    let line = web().lines().position(|line| line.contains("profile: web")).unwrap() + 1;
    let expected = format!(
        "error[unknown-compute-profile]: no compute profile \"wbe\"; did you mean \"web\"?\n  \
         --> {path}:{line}:16\n   \
         |\n\
         {line} |       profile: wbe\n   \
         |                ^^^\n   \
         |\n   \
         = pointer: /deployment/web/anywhere/profile\n   \
         = reference: SDL invalid: web.anywhere: no compute profile named wbe\n   \
         = help: "
    );
    assert!(done.out.starts_with(&expected), "{}\nexpected\n{expected}", done.out);
}

#[test]
fn colours_are_for_terminals_and_can_be_forced_and_forbidden() {
    let input = b"version: '1.0'";
    let check = || lessor(&["sdl", "check", "-"]);
    assert!(!with_input(&mut check(), input).out.contains('\x1b'));
    let forced = with_input(check().env("CLICOLOR_FORCE", "1").env_remove("NO_COLOR"), input);
    assert!(forced.out.contains('\x1b'), "{}", forced.out);
    let forbidden = with_input(check().env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1"), input);
    assert!(!forbidden.out.contains('\x1b'));
}

#[test]
fn no_line_of_a_secret_is_shown() {
    for secret in [
        "env: [hunter2 hunter2]",
        "env: {PASSWORD: hunter2}",
        "env: PASSWORD=hunter2",
        "env: [[PASSWORD=hunter2]]",
        "env:\n      - 1BAD=hunter2\n     - PASSWORD=hunter2",
        "args: --password=hunter2",
        "command: [hunter2",
        "credentials: hunter2",
        "credentials: {host: '', username: hunter2, password: hunter2}",
        "credentials: {host: h, username: u, password: !!int hunter2}",
        "credentials: {host: h, username: u, password: hunter2}, expose: maybe",
    ] {
        let text = web().replace("    image: nginx", &format!("    {secret}\n    image: nginx"));
        for format in ["text", "json"] {
            let mut command = lessor(&["sdl", "check", "--format", format, "-"]);
            let done = with_input(&mut command, text.as_bytes());
            assert_eq!(done.code, Some(1), "{secret}");
            let printed = format!("{}{}", done.out, done.err);
            assert!(!printed.contains("hunter2"), "{secret}: {printed}");
        }
    }
}

#[test]
fn no_more_is_read_than_a_document_may_have() {
    let text = format!("{}# {}", web(), "x".repeat(64 << 20));
    let done = with_input(&mut lessor(&["sdl", "check", "--format", "json", "-"]), text.as_bytes());
    assert_eq!(done.code, Some(1));
    assert_eq!(done.json()[0]["violations"][0]["code"], "document-too-large");
}
