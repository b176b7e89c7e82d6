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
        (load(&[("LESSOR_LISTEN", "x")]).unwrap_err(), "LESSOR_LISTEN: listen is not allowed"),
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
    assert!(error.to_string().contains("keys are a list"), "{error}");
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
fn a_value_that_is_not_allowed_names_its_key_its_origin_and_what_is_allowed() {
    for (error, expected) in [
        (
            load(&[("LESSOR_BID__TIMEOUT_S", "abc")]).unwrap_err(),
            "LESSOR_BID__TIMEOUT_S: bid.timeout_s is no whole number, allowed are whole numbers from 0 to 31536000",
        ),
        (
            load(&[("LESSOR_CHAIN__POLL_MS", "0")]).unwrap_err(),
            "LESSOR_CHAIN__POLL_MS: chain.poll_ms is 0, allowed are whole numbers from 10 to 60000",
        ),
        (
            load_file("[worker]\nclaim_ttl_s = 0\n").unwrap_err(),
            ": worker.claim_ttl_s is 0, allowed are whole numbers from 1 to 3600",
        ),
        (
            load_file("[policy]\nmax_leases = -1\n").unwrap_err(),
            ": policy.max_leases is -1, allowed are whole numbers from 0 to 4294967295",
        ),
        (
            load_file("[streams.acme]\ndeaf_after_s = 0\n").unwrap_err(),
            ": streams.acme.deaf_after_s is 0, allowed are whole numbers from 1 to 86400",
        ),
        (
            load_file("[listen]\nbehind_proxy = 1\n").unwrap_err(),
            ": listen.behind_proxy is not allowed: invalid type: integer `1`, expected a boolean",
        ),
        (
            load(&[("LESSOR_CHAIN__GAS_PRICE", "dear")]).unwrap_err(),
            "LESSOR_CHAIN__GAS_PRICE: chain.gas_price is not allowed: ",
        ),
    ] {
        assert!(error.to_string().contains(expected), "{error}");
    }
    // The file set another key of the same table; the variable is at fault.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[bid]\nregistration_max_age_s = 5\n").unwrap();
    let variables = [("LESSOR_BID__TIMEOUT_S".to_owned(), "-1".to_owned())];
    let error = Settings::load(Some(file.path()), variables).unwrap_err().to_string();
    assert!(error.starts_with("LESSOR_BID__TIMEOUT_S: bid.timeout_s is -1"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named_once() {
    let error = Settings::load(Some("nope.toml".as_ref()), []).unwrap_err();
    let said = crate::cmd::output::said(&error.into());
    assert_eq!(said, "settings file nope.toml: No such file or directory (os error 2)");
}

#[test]
fn every_key_that_is_taken_stands_in_the_manual() {
    let named = |key: &str| {
        DEFAULTS.lines().any(|line| {
            line.trim_start_matches(['#', ' '])
                .strip_prefix(key)
                .is_some_and(|rest| rest.trim_start().starts_with('='))
        })
    };
    let policy = serde_json::to_value(Policy::default()).unwrap();
    let policy = policy.as_object().unwrap().keys().map(String::as_str);
    let max_order = serde_json::to_value(crate::bidengine::policy::MaxOrder::default()).unwrap();
    let max_order = max_order.as_object().unwrap().keys().map(String::as_str);
    // The version is counted, not set; the table of the greatest order has its own heading.
    let fields = policy.chain(max_order).filter(|key| !["version", "max_order"].contains(key));
    let optional = OPTIONAL.iter().filter_map(|key| key.rsplit('.').next());
    for key in fields.chain(optional).chain(STREAM_KEYS) {
        assert!(named(key), "{key} is not in the manual");
    }
    for name in OTHER_NAMES {
        assert!(DEFAULTS.contains(name), "{name} is not in the manual");
    }
}

#[test]
fn what_the_manual_shows_as_a_comment_is_taken_as_it_stands() {
    let shown = |section: &str| {
        let lines = DEFAULTS.lines().skip_while(move |line| *line != section).skip(1);
        let lines = lines.take_while(|line| !line.starts_with('['));
        lines.filter_map(|line| line.strip_prefix("#   ")).collect::<Vec<_>>().join("\n")
    };
    let policy = shown("[policy]");
    let max_order = shown("[policy.max_order]");
    let settings =
        load_file(&format!("[policy]\n{policy}\n[policy.max_order]\n{max_order}\n")).unwrap();
    assert!(settings.policy.max_leases.is_some() && settings.policy.max_open_bids.is_some());
    assert!(settings.policy.reclamation_window_s.is_some());
    assert!(settings.policy.max_order.replicas.is_some());
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
    for wrong in
        [text.replace("whsec_M", "whsex_M"), format!("[streams.acme]\nkeys = {secret:?}\n")]
    {
        let broken = load_file(&wrong).unwrap_err().to_string();
        assert!(broken.contains(": streams.acme.keys"), "{broken}");
        assert!(!broken.contains("fKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "{broken}");
    }
}

#[test]
fn a_window_of_maintenance_has_a_beginning_an_end_after_it_and_a_reason() {
    let windows = |list: &str| load_file(&format!("[maintenance]\nwindows = [{list}]\n"));
    let window = |from: &str, until: &str, reason: &str| {
        format!(
            "{{ from = \"2026-12-0{from}Z\", until = \"2026-12-0{until}Z\", reason = \"{reason}\" }}"
        )
    };
    let good = window("1T22:00:00", "2T02:00:00", "new disks");
    let settings = windows(&good).unwrap().provider().unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    assert_eq!(settings.window_at(at("2026-12-01T21:59:59Z")), None);
    let now = settings.window_at(at("2026-12-02T01:59:59Z")).unwrap();
    assert_eq!(now.reason, "new disks");
    assert_eq!(settings.window_at(at("2026-12-02T02:00:00Z")), None);
    for (wrong, expected) in [
        (window("2T02:00:00", "1T22:00:00", "x"), "is over at"),
        (window("1T22:00:00", "2T02:00:00", " "), "says not why"),
        (window("1T22:00:00", "2T02:00:00", &"x".repeat(501)), "allowed is one line of 500"),
    ] {
        let error = windows(&format!("{good}, {wrong}")).unwrap_err().to_string();
        assert!(error.contains("maintenance.windows[1]") && error.contains(expected), "{error}");
    }
    let error = windows("{ from = \"x\" }").unwrap_err().to_string();
    assert!(error.contains("maintenance.windows"), "{error}");
}
