//! The store's contract, as functions over `&dyn Store` so that any engine can be held to it, here on SQLite; and what
//! is SQLite's alone: its file.

mod backup;
mod contract;
mod file;
mod fixtures;
mod group;
mod race;
mod retention;
mod sealed;

/// Runs functions of the contract, each on a store of its own.
macro_rules! on_sqlite {
    ($($part:ident { $($name:ident)+ })+) => {$(
        mod $part {
            $(
                #[tokio::test]
                async fn $name() {
                    let home = super::fixtures::Home::new().await;
                    super::contract::$part::$name(&home.open().await).await;
                }
            )+
        }
    )+};
}

on_sqlite! {
    inbox {
        a_delivery_is_committed_once_and_wakes_the_subjects_of_its_events
        a_repeated_delivery_changes_nothing_even_when_it_comes_late
        the_same_id_with_another_body_is_an_alarm_and_stores_nothing_else
        known_events_in_a_new_delivery_are_duplicates_and_wake_nobody
        an_event_with_other_content_is_kept_beside_the_first_and_wakes_its_subject
        contents_of_one_event_beyond_the_bound_are_counted_and_not_kept
        events_that_nobody_handles_are_stored_and_counted_and_wake_nobody
        a_refused_plan_stores_only_that_the_stream_was_heard
        a_plan_wakes_the_stream_and_other_subjects_at_their_times
        a_height_that_no_chain_has_does_not_make_the_store_fail
        reads_are_granted_up_to_the_limit_of_each_minute
        a_stream_is_changed_outside_a_delivery
        the_chain_is_recorded_once
    }
    steps {
        a_step_sees_what_the_last_one_wrote
        a_wake_during_a_step_keeps_the_subject_due
        a_wake_for_later_during_a_step_is_not_lost_and_not_early
        a_claim_that_lapsed_is_given_to_another_and_the_first_is_fenced
        a_claim_ends_with_its_commit
        a_fence_of_a_forgotten_subject_is_too_old_for_its_successor
        a_subject_woken_by_itself_is_due_at_that_time
        a_subject_without_state_is_forgotten_with_its_deadlines
        a_subject_that_is_woken_while_it_is_forgotten_stays
        a_claim_given_back_waits_for_its_time_and_counts_the_failure
        known_subjects_are_claimed_before_hints_and_older_ones_first
        hints_are_forgotten_unless_they_came_again
        a_hint_stands_alone_until_lessor_itself_wakes_the_subject
        a_hint_that_is_put_off_does_not_hold_up_what_is_due_otherwise
        a_second_look_for_a_hint_is_a_hint
        a_deadline_wakes_once_for_each_commit_that_keeps_it
        the_store_knows_when_something_is_due_next
    }
    executors {
        an_effect_is_wanted_once_per_key
        an_outcome_wakes_the_subject_until_it_is_absorbed
        an_effect_is_withdrawn_only_before_anyone_began_it
        an_effect_to_be_tried_later_waits_for_its_time
        an_executor_that_lost_its_claim_reports_nothing
        cluster_effects_of_a_subject_are_carried_out_one_at_a_time
        a_chain_effect_wakes_the_account_that_sends_it
        a_signed_transaction_holds_its_effects_until_it_settles
        a_transaction_over_withdrawn_effects_is_left_out
        a_transaction_with_a_used_time_out_is_left_out
        a_settled_transaction_stays_as_it_is
        an_expired_or_refused_transaction_fails_its_effects
        an_effect_can_fail_before_anything_is_signed
        an_account_is_due_again_when_its_work_says_so
        of_two_senders_the_first_holds_the_effect
        transactions_are_paged_newest_first
    }
    shared {
        a_reservation_on_an_old_version_is_refused_with_the_present_ones
        every_change_of_the_reservations_raises_their_version
        a_refused_commit_leaves_nothing_behind
        a_reservation_without_a_version_is_an_error
        a_hostname_of_another_owner_refuses_the_manifest
        a_hostname_stays_with_another_lease_of_its_owner
        a_new_manifest_replaces_the_hostnames_of_its_leases
        hostnames_are_given_back_with_their_lease
        a_hostname_that_is_moved_is_routable_when_it_was_let_go
        a_hostname_of_another_owner_is_not_moved
        the_three_newest_manifests_are_kept
    }
    pages {
        orders_are_paged_by_their_last_change
        orders_are_filtered_by_each_column
        an_order_keeps_when_it_was_first_seen_and_its_latest_decision
        a_cursor_that_no_page_gave_is_an_error
        the_audit_is_paged_newest_first
        the_younger_observation_is_kept
        a_store_says_that_it_is_well
    }
    operator {
        maintenance_is_bidding_until_said_otherwise_and_kept_with_its_line_and_its_wakes
        sessions_are_found_by_their_digest_and_the_oldest_make_room
        a_funnel_counts_a_window_and_names_the_newest
        a_priced_order_counts_as_sent_once_a_transaction_holds_its_bid
        counts_rise_with_the_rows_of_their_kind_and_with_no_others
    }
}
