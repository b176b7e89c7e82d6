//! Settings as people write them.

use super::*;

fn load(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::load(
        None,
        variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())),
    )
}

fn load_file(text: &str) -> Result<Settings, SettingsError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Settings::load(Some(file.path()), [])
}

#[test]
fn the_manual_is_a_complete_set_of_settings_and_agrees_with_the_types_own_defaults() {
    let settings = load(&[]).unwrap();
    assert_eq!(settings.policy, Policy::default());
    assert_eq!(settings.prices, Prices::default());
    settings.provider().unwrap();
}

#[test]
fn a_variable_overrides_the_file_and_the_file_overrides_the_manual() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[bid]\ntimeout_s = 60\n[store]\npath = \"a.db\"\n").unwrap();
    let variables = [("LESSOR_BID__TIMEOUT_S".to_owned(), "90".to_owned())];
    let settings = Settings::load(Some(file.path()), variables).unwrap();
    assert_eq!(settings.bid.timeout_s, 90);
    assert_eq!(settings.store.path, PathBuf::from("a.db"));
    assert_eq!(settings.manifest.timeout_s, 300);
}

#[test]
fn a_text_setting_takes_a_variable_as_it_is_and_a_list_is_toml() {
    let settings = load(&[
        ("LESSOR_CHAIN__ID", "12"),
        ("LESSOR_MANIFEST__BLOCKED_HOSTNAMES", "[\".example.com\"]"),
    ])
    .unwrap();
    assert_eq!(settings.chain.id, "12");
    assert_eq!(settings.manifest.blocked_hostnames, [".example.com"]);
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_nearest_one() {
    for (error, expected) in [
        (
            load_file("[bid]\ntimeout = 1\n").unwrap_err(),
            "unknown key \"bid.timeout\"; did you mean \"bid.timeout_s\"?",
        ),
        (
            load_file("[strore]\npath = \"x\"\n").unwrap_err(),
            "unknown key \"strore\"; did you mean \"store\"?",
        ),
        (
            load_file("[streams.a]\nstrickt = true\n").unwrap_err(),
            "unknown key \"streams.a.strickt\"; did you mean \"streams.a.strict\"?",
        ),
        (
            load_file("[policy.max_order]\ngpus = 1\n").unwrap_err(),
            "unknown key \"policy.max_order.gpus\"",
        ),
        (load(&[("LESSOR_LISTEN", "x")]).unwrap_err(), "invalid type"),
        (
            load(&[("LESSOR_BID__TIMEOUTS", "1")]).unwrap_err(),
            "LESSOR_BID__TIMEOUTS: unknown key \"bid.timeouts\"; did you mean \"bid.timeout_s\"?",
        ),
    ] {
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let error = load_file("[streams.acme]\nkeys = \"whsec_hunter2\"\n").unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    assert!(error.to_string().contains("expected a sequence"), "{error}");
}

#[test]
fn settings_are_read_again_from_where_they_came() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[bid]\ntimeout_s = 60\n").unwrap();
    let variables = [("LESSOR_CHAIN__ID".to_owned(), "a".to_owned())];
    let before = Settings::load(Some(file.path()), variables).unwrap();
    let text = "[bid]\ntimeout_s = 70\n[listen]\ndrain_s = 1\n[store]\npath = \"b.db\"\n";
    std::fs::write(file.path(), text).unwrap();
    let after = before.read_again().unwrap();
    assert_eq!((after.bid.timeout_s, after.chain.id.as_str()), (70, "a"));
    assert_eq!(before.fixed_differences(&after), ["listen", "store.path"]);
    assert_eq!(before.fixed_differences(&before), Vec::<&str>::new());
}

#[test]
fn a_stream_takes_keys_and_keeps_secrets_out_of_errors_and_debug() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let text = format!(
        "[streams.acme]\nkeys = [{{ name = \"one\", key = \"{secret}\" }}]\nstrict = true\n"
    );
    let settings = load_file(&text).unwrap();
    assert!(settings.provider().unwrap().streams["acme"].strict);
    assert!(!format!("{settings:?}").contains(secret));
    let broken = load_file(&text.replace("whsec_M", "whsex_M")).unwrap().provider().unwrap_err();
    assert!(!broken.to_string().contains("fKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "{broken}");
}
