//! What today's provider and its chain are known to get wrong, each with our tests that show that lessor does not: a table, held
//! to the sources.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A number, what goes wrong, and the tests by name.
struct Trap {
    number: u8,
    what: &'static str,
    tests: &'static [&'static str],
}

const fn trap(number: u8, what: &'static str, tests: &'static [&'static str]) -> Trap {
    Trap { number, what, tests }
}

const TRAPS: [Trap; 23] = [
    trap(
        1,
        "catch-up goes on from a stored page key and misses newer orders",
        &[
            "a_list_is_followed_to_its_end_on_one_state_with_the_filters_on_each_page",
            "a_deaf_stream_is_pulled_and_hides_no_order",
        ],
    ),
    trap(
        2,
        "catch-up loops on errors of the node and makes orders twice",
        &["no_wake_is_lost_and_no_step_runs_twice_at_once", "two_workers_never_own_one_subject"],
    ),
    trap(
        3,
        "the provider's own closed bid is not recognised",
        &["a_bid_that_was_lost_or_closed_elsewhere_ends_the_order_without_a_transaction"],
    ),
    trap(
        4,
        "the age of a bid is computed with the wrong sign",
        &[
            "an_open_bid_that_is_found_many_blocks_later_is_not_closed_early",
            "a_bid_that_nobody_takes_in_time_is_closed_and_its_capacity_given_back",
        ],
    ),
    trap(
        5,
        "own attributes and audits are read once and never again",
        &["attributes_that_we_change_on_chain_count_for_orders_from_the_next_look_on"],
    ),
    trap(
        6,
        "an order's reclamation is ignored, and a lease with notice is never closed",
        &[
            "the_notice_is_what_the_order_wants_what_the_market_bounds_and_what_the_operator_allows",
            "a_lease_with_a_notice_is_given_it_once_and_closed_when_it_is_over",
        ],
    ),
    trap(
        7,
        "bids that did not win stay open with their deposit",
        &[
            "only_the_first_other_bid_is_lost_and_the_rest_stay_open_with_their_deposits_until_closed",
            "a_lost_bid_that_the_chain_leaves_open_is_closed_and_one_marked_lost_is_not",
        ],
    ),
    trap(
        8,
        "open orders of closed deployments are bid on",
        &["an_order_of_a_closed_group_or_deployment_is_over_even_while_it_is_open"],
    ),
    trap(
        9,
        "a shutdown closes all open bids",
        &["a_process_that_ends_closes_no_bid_and_the_next_one_goes_on_with_it"],
    ),
    trap(
        10,
        "a close is sent once, and lost when the process stops",
        &[
            "a_lease_without_a_manifest_in_time_is_closed_for_that_reason_and_its_capacity_given_back",
            "killed_at_twenty_random_moments_nothing_is_lost_or_done_twice",
        ],
    ),
    trap(
        11,
        "a half-open stream is waited on for ever, and blocks are skipped on errors",
        &[
            "a_half_open_node_is_waited_for_only_a_little_and_then_no_more",
            "a_missing_block_is_always_a_gap_that_it_alone_closes",
            "a_gap_is_closed_by_what_is_pulled",
        ],
    ),
    trap(
        12,
        "one transaction a block",
        &[
            "bids_that_wait_together_share_a_transaction_and_its_fee",
            "messages_of_one_kind_go_together_and_what_failed_before_goes_alone",
        ],
    ),
    trap(
        13,
        "the local sequence moves on after a transaction that was refused",
        &[
            "a_used_sequence_means_look_and_a_future_one_means_wait",
            "every_recorded_answer_to_a_broadcast_is_told_apart",
        ],
    ),
    trap(
        14,
        "a price with more than 18 digits means no bid",
        &["a_price_is_above_zero_and_has_at_most_18_digits"],
    ),
    trap(
        15,
        "a malformed GPU attribute panics",
        &["a_malformed_gpu_attribute_is_no_wish_and_panics_nobody"],
    ),
    trap(
        16,
        "over-commit below 100 % does nothing",
        &[
            "two_workers_over_one_store_bid_once_and_promise_no_more_than_there_is",
            "an_unknown_key_is_an_error_that_names_the_nearest_one",
        ],
    ),
    trap(
        17,
        "endpoints and addresses are not counted per replica, and GPUs cost nothing",
        &[
            "replicas_multiply_everything_but_endpoints_and_addresses",
            "gpus_cost_by_the_model_that_was_placed_and_are_free_without_a_price",
        ],
    ),
    trap(
        18,
        "settings that do nothing",
        &[
            "the_manual_is_a_complete_set_of_settings_and_agrees_with_the_types_own_defaults",
            "an_unknown_key_is_an_error_that_names_the_nearest_one",
            "each_free_check_declines_by_its_own_reason",
        ],
    ),
    trap(
        19,
        "the balance check forgets reclaiming leases, divides by zero, panics without funds",
        &[
            "escrow_pays_all_leases_that_run_and_no_block_in_part",
            "escrow_without_a_lease_that_runs_has_no_end",
            "an_overdrawn_deployment_has_no_funds_and_a_closed_one_has_nothing_left",
        ],
    ),
    trap(
        20,
        "a deployment's escrow settles once a block: a second withdrawal panics, a second close leaves its payment open",
        &[
            "two_withdrawals_of_one_deployment_in_a_block_panic_and_cost_the_fee",
            "two_closes_of_one_deployment_in_a_transaction_leave_the_second_payment_open_and_earning",
            "two_leases_of_one_deployment_are_withdrawn_from_in_different_blocks",
            "leases_of_one_deployment_that_close_together_leave_no_payment_open",
            "a_payment_that_somebody_left_open_is_withdrawn_from_until_its_deployment_is_closed",
        ],
    ),
    trap(
        21,
        "prices in two denoms make the chain panic",
        &[
            "a_price_in_two_denoms_or_in_none_is_declined_before_anything_is_computed",
            "every_recorded_refusal_and_failure_is_told_as_its_sender_must_treat_it",
        ],
    ),
    trap(
        22,
        "reservations are counted in metrics that never move",
        &["what_is_held_shows_in_the_metrics_and_so_does_its_end"],
    ),
    trap(
        23,
        "leases that were won meanwhile are not picked up",
        &[
            "a_store_without_its_rows_under_a_live_lease_picks_the_lease_up_and_runs_a_later_manifest",
        ],
    ),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names of all functions that follow a test's attribute.
fn tests_of(text: &str) -> impl Iterator<Item = &str> {
    let is_test = |line: &str| {
        let line = line.trim();
        line == "#[test]" || line.starts_with("#[tokio::test")
    };
    let lines: Vec<&str> = text.lines().collect();
    let mut names = Vec::new();
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| is_test(line)) {
        let declared = lines[at..].iter().find_map(|line| line.split_once("fn "));
        names.extend(declared.and_then(|(_, rest)| rest.split('(').next()));
    }
    names.into_iter()
}

#[test]
fn every_known_trap_has_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        sources(&root.join(folder), &mut files);
    }
    let mut names: BTreeSet<String> = BTreeSet::new();
    for file in &files {
        names.extend(tests_of(&fs::read_to_string(file).unwrap()).map(str::to_owned));
    }
    let mut missing = Vec::new();
    for (index, trap) in TRAPS.iter().enumerate() {
        assert_eq!(usize::from(trap.number), index + 1);
        assert!(!trap.tests.is_empty(), "trap {} ({})", trap.number, trap.what);
        for name in trap.tests.iter().filter(|name| !names.contains(**name)) {
            missing.push(format!("trap {} ({}): no test {name}", trap.number, trap.what));
        }
    }
    let shown: usize = TRAPS.iter().map(|trap| trap.tests.len()).sum();
    println!("{} traps, {shown} tests, of {} in {} files", TRAPS.len(), names.len(), files.len());
    assert!(missing.is_empty(), "{missing:#?}");
}
