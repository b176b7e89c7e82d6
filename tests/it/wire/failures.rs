//! Every recorded refusal and failure of a transaction, told as its sender must treat it.

use std::collections::{BTreeMap, BTreeSet};

use lessor::wire::failure::{Failure, Retry, failed_message};
use serde_json::Value;

use crate::corpus;

/// Each recording under the word for it.
const TOLD: [(&str, &[&str]); 14] = [
    ("sequence", &["commit_checktx_fail", "wrong_sequence_high", "wrong_sequence_low"]),
    (
        "known",
        &[
            "already_committed",
            "already_in_cache",
            "duplicate_nonce_other_tx",
            "duplicate_same_bytes",
            "nonce_reuse_after_failed",
        ],
    ),
    ("late", &["timeout_height_passed", "timeout_past", "timeout_timestamp_passed"]),
    ("early", &["timeout_601s"]),
    ("fee", &["insufficient_fee", "no_fee"]),
    (
        "funds",
        &[
            "bid_deposit_over_balance",
            "commit_delivertx_fail",
            "insufficient_funds_for_fee",
            "unknown_account",
        ],
    ),
    ("gas", &["low_gas_ante", "out_of_gas_checktx", "out_of_gas_deliver"]),
    ("too_large", &["tx_too_large"]),
    ("settled", &["multi_withdraw_c_same_deployment", "withdraw_same_block_2"]),
    ("panic", &["bid_denom_mismatch"]),
    ("done", &["bid_duplicate", "cert_duplicate", "provider_create_exists"]),
    (
        "over",
        &[
            "bid_active_order",
            "bid_close_already_closed",
            "bid_close_closed_lease",
            "bid_close_lost",
            "bid_close_unknown",
            "bid_closed_order",
            "bid_fails_in_deliver",
            "bid_unknown_order",
            "busy_bid_vec1_fails",
            "busy_bid_vec3_after_lease",
            "cert_revoke_twice",
            "cert_revoke_unknown",
            "lease_create_lost_bid",
            "lease_create_second",
            "lease_create_unknown_bid",
            "lease_start_reclaim_r_again_fail",
            "multi_second_fails",
            "provider_update_unknown",
            "start_reclaim_unknown_lease",
            "withdraw_closed_lease",
            "withdraw_f_again_fail",
            "withdraw_unknown_lease",
        ],
    ),
    ("not_yet", &["bid_close_r_not_started_fail", "bid_close_r_too_early_fail"]),
    (
        "refused",
        &[
            "bid_attribute_mismatch",
            "bid_bseq",
            "bid_capabilities_mismatch",
            "bid_close_wrong_reason",
            "bid_create_r_above_params_fail",
            "bid_create_r_below_params_fail",
            "bid_create_r_no_window_fail",
            "bid_create_r_short_fail",
            "bid_deposit_denom",
            "bid_deposit_too_small",
            "bid_offer_wrong_count",
            "bid_offer_wrong_id",
            "bid_own_order",
            "bid_price_over_order",
            "bid_unknown_provider",
            "bid_zero_price",
            "cert_garbage",
            "cert_spki_pem_type",
            "cert_wrong_owner",
            "cert_wrong_pubkey",
            "empty_tx",
            "lease_close_by_provider",
            "lease_create_wrong_owner",
            "memo_too_long",
            "no_messages",
            "provider_bad_host",
            "provider_delete",
            "provider_host_path",
            "sequence_nonzero",
            "start_reclaim_no_reclamation",
            "timeout_missing",
            "tx_decode",
            "unauthorized_bad_signature",
            "unauthorized_wrong_account_number",
            "unauthorized_wrong_chain_id",
            "wrong_signer",
        ],
    ),
];

fn of_result(result: &Value) -> Option<Failure> {
    let code = u32::try_from(result["code"].as_u64()?).unwrap();
    let log = result["log"].as_str().unwrap_or_default();
    let codespace = result["codespace"].as_str().unwrap_or_default();
    (code != 0).then(|| Failure::of(codespace, code, log))
}

/// What a recording's answers say of its transaction, wherever it was refused or failed.
fn told(json: &Value) -> Option<Failure> {
    let error = json.pointer("/response/error/data").and_then(Value::as_str);
    if let Some(data) = error {
        return Some(Failure::of_rpc(data).unwrap());
    }
    ["/response/result", "/response/result/check_tx", "/response/result/tx_result"]
        .into_iter()
        .chain(["/tx_response/result/tx_result", "/result/tx_result"])
        .filter_map(|pointer| json.pointer(pointer))
        .find_map(of_result)
}

#[test]
fn every_recorded_refusal_and_failure_is_told_as_its_sender_must_treat_it() {
    let Some(chain) = corpus::find("vectors/chain") else { return };
    let mut wanted: BTreeMap<&str, &str> = BTreeMap::new();
    for (word, names) in TOLD {
        wanted.extend(names.iter().map(|name| (*name, word)));
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for folder in ["tx", "tx_errors", "unordered"] {
        for (name, json) in corpus::json_files(&chain.join(folder)) {
            let Some(failure) = told(&json) else { continue };
            *counts.entry(failure.as_str()).or_default() += 1;
            if wanted.get(name.as_str()) != Some(&failure.as_str()) {
                wrong.push(format!("{folder}/{name}: {failure:?}"));
            }
            seen.insert(name);
        }
    }
    println!("{} refused or failed: {counts:?}", seen.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    let missing: Vec<_> = wanted.keys().filter(|name| !seen.contains(**name)).collect();
    assert!(missing.is_empty(), "not recorded: {missing:?}");
    assert!(seen.len() >= 70);
}

#[test]
fn every_recorded_simulation_that_fails_is_told_by_its_text_alone() {
    let Some(folder) = corpus::find("vectors/chain/simulate") else { return };
    let mut count = 0;
    for (name, json) in corpus::json_files(&folder) {
        let Some(response) = json.pointer("/abci_response/result/response") else { continue };
        if response["code"] == 0 {
            continue;
        }
        let failure = Failure::of_simulation(response["log"].as_str().unwrap());
        let expected = match name.as_str() {
            "wrong_sequence" => Failure::Sequence { expected: 79, got: 80 },
            "pipelined_old_sequence" => Failure::Sequence { expected: 80, got: 79 },
            "duplicate_bid" => Failure::Done,
            "failing_message" | "failing_second_message" => Failure::Over,
            "panic" => Failure::Panic,
            "fee_over_balance" => Failure::Funds,
            other => panic!("{other}: {failure:?}"),
        };
        assert_eq!(failure, expected, "{name}");
        count += 1;
    }
    println!("{count} simulations that fail");
    assert_eq!(count, 7);
}

#[test]
fn each_row_of_the_failure_table_says_what_may_be_done() {
    let sequence = |expected, got| Failure::Sequence { expected, got };
    for (failure, retry) in [
        (sequence(39, 42), Retry::SameBytes),
        (sequence(39, 38), Retry::Look),
        (Failure::Fee, Retry::Anew),
        (Failure::Funds, Retry::Wait),
        (Failure::Known, Retry::Look),
        (Failure::Full, Retry::SameBytes),
        (Failure::TooLarge, Retry::Split),
        (Failure::Early, Retry::SameBytes),
        (Failure::Late, Retry::Look),
        (Failure::Gas, Retry::Anew),
        (Failure::Settled, Retry::Later),
        (Failure::Panic, Retry::Never),
        (Failure::Done, Retry::Never),
        (Failure::Over, Retry::Never),
        (Failure::NotYet, Retry::Wait),
        (Failure::Refused, Retry::Never),
    ] {
        assert_eq!(failure.retry(), retry, "{failure:?}");
    }
    assert_eq!(Failure::of_rpc("mempool is full: number of txs 5000"), Some(Failure::Full));
    assert_eq!(Failure::of_rpc("timed out waiting for tx to be included in a block"), None);
    assert_eq!(Failure::of("sdk", 20, "mempool is full"), Failure::Full);
    assert_eq!(Failure::of("sdk", 32, "in other words"), sequence(0, 0));
}

#[test]
fn the_message_that_failed_is_named_by_the_log() {
    let log = "failed to execute message; message index: 12: invalid order: order not found";
    assert_eq!(failed_message(log), Some(12));
    assert_eq!(failed_message("out of gas in location: WriteFlat"), None);
}
