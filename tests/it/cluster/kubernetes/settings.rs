//! The settings as the manual has them.

use lessor::cluster::kubernetes::settings::Settings;

#[test]
fn the_manuals_defaults_are_the_codes() {
    let manual: toml::Table = include_str!("../../../../deploy/lessor.toml").parse().unwrap();
    let section = manual["cluster"]["kubernetes"].clone();
    let read: Settings = section.try_into().unwrap();
    assert_eq!(read, Settings::default());
    assert_eq!(read.faults(), []);
}

#[test]
fn a_setting_that_no_object_could_have_is_named_with_what_is_allowed() {
    let mut settings = Settings { manifest_namespace: "Lease".to_owned(), ..Settings::default() };
    settings.security.quota_percent = 50;
    settings.http.gateway = String::new();
    let keys: Vec<String> = settings.faults().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["manifest_namespace", "http.gateway", "security.quota_percent"]);
    for wrong in
        ["[network]\nexcept = [\"10.0.0.1/8\"]", "[storage]\nbeta3 = \"much\"", "unknown = 1"]
    {
        assert!(toml::from_str::<Settings>(wrong).is_err(), "{wrong}");
    }
}
