//! The checks before anything is placed: the free ones and the policy's. Each says what it needs and what there is, passed or not.

use super::{
    attributes::{
        GPU_CAPABILITY, STORAGE_CAPABILITY, gpu_answered, is_subset, missing, signed_by,
        unanswered_volume,
    },
    check::{Check, Rule},
    facts::Facts,
    limits::{group_limits_text, group_totals, limit_violations},
    policy::Policy,
};
use crate::domain::{
    Attribute, Coin, Denom, DeploymentState, GroupState, OrderState, ResourceUnit,
};

/// So many capabilities of the provider are written into a record.
const CAPABILITIES_SHOWN: usize = 20;

/// What the chain and our own switches say already; every check, in order. None of them needs the provider's audits or
/// the inventory.
#[must_use]
pub fn free_checks(facts: &Facts, policy: &Policy) -> Vec<Check> {
    let provider = &facts.provider_address;
    vec![
        Check::new(
            Rule::ProviderRegistered,
            facts.provider.is_some(),
            format!("{provider} is registered as a provider"),
            if facts.provider.is_some() { "registered" } else { "not registered" },
        ),
        Check::new(
            Rule::NotPaused,
            facts.paused.is_none(),
            "bidding is not paused",
            facts.paused.as_ref().map_or("not paused".to_owned(), |why| format!("paused: {why}")),
        ),
        state_check(Rule::OrderOpen, OrderState::Open, Some(facts.order.state)),
        state_check(Rule::GroupOpen, GroupState::Open, facts.group_state),
        state_check(Rule::DeploymentActive, DeploymentState::Active, facts.deployment_state),
        Check::new(
            Rule::OtherOwner,
            facts.order.id.owner() != provider,
            "another owner than the provider",
            facts.order.id.owner().to_string(),
        ),
        Check::new(
            Rule::NoOwnBid,
            facts.own_bid.is_none(),
            "no bid of ours",
            facts.own_bid.as_ref().map_or("none".to_owned(), |bid| format!("one, {}", bid.state)),
        ),
        Check::new(
            Rule::BidsLeft,
            facts.bid_count <= facts.market.order_max_bids,
            format!("at most {} bids", facts.market.order_max_bids),
            facts.bid_count.to_string(),
        ),
        deposit_accepted(facts, policy),
        deposit_covered(facts, policy),
        Check::new(
            Rule::FeesCovered,
            available(facts, policy, &policy.min_fee_balance.denom)
                >= policy.min_fee_balance.amount,
            format!("a balance of {}", policy.min_fee_balance),
            balance_text(facts, policy, &policy.min_fee_balance.denom),
        ),
    ]
}

/// What the operator and the tenant want of each other; every check, in order.
#[must_use]
pub fn policy_checks(facts: &Facts, policy: &Policy) -> Vec<Check> {
    vec![
        open_bids_limit(facts, policy),
        leases_limit(facts, policy),
        owner_allowed(facts, policy),
        denom_accepted(facts, policy),
        provider_attributes(facts),
        order_attributes(facts, policy),
        storage_capability(facts),
        gpu_capability(facts),
        volumes(facts, policy),
        audits(facts),
        group_limits(facts),
        order_size(facts, policy),
        reclamation(facts, policy),
    ]
}

/// The notice to offer: at least what the order wants, at least what the market and the operator set. `Err` when the
/// operator's or the market's limit is below what the order wants.
pub(super) fn reclamation_window(facts: &Facts, policy: &Policy) -> Result<Option<u64>, String> {
    let (least, most) =
        (facts.market.min_reclamation_window_s, facts.market.max_reclamation_window_s);
    let Some(wanted) = facts.order.min_reclamation_window_s else {
        // Nobody asked, so a setting that the market would refuse only costs the offer, not the bid.
        return Ok(policy.reclamation_window_s.filter(|window| (least..=most).contains(window)));
    };
    let window = wanted.max(policy.reclamation_window_s.unwrap_or(0)).max(least);
    // The operator's standard notice may be longer than what is promised at most; what the order wants may not.
    let limit = policy.max_reclamation_window_s.min(most);
    if window <= limit {
        Ok(Some(window))
    } else if wanted.max(least) <= limit {
        Ok(Some(limit))
    } else {
        Err(format!("at most {limit} s"))
    }
}

fn state_check<S: Copy + PartialEq + std::fmt::Display>(
    rule: Rule,
    needed: S,
    there: Option<S>,
) -> Check {
    let text = there.map_or("absent".to_owned(), |state| state.to_string());
    Check::new(rule, there == Some(needed), needed.to_string(), text)
}

fn deposit_accepted(facts: &Facts, policy: &Policy) -> Check {
    let least =
        facts.market.bid_min_deposits.iter().find(|coin| coin.denom == policy.bid_deposit.denom);
    Check::new(
        Rule::DepositAccepted,
        least.is_some_and(|coin| policy.bid_deposit.amount >= coin.amount),
        least.map_or_else(
            || format!("one of {}", join(&facts.market.bid_min_deposits)),
            |coin| format!("at least {coin}"),
        ),
        policy.bid_deposit.to_string(),
    )
}

/// Deposit and fees may be of one denom, and then both must be there.
fn deposit_covered(facts: &Facts, policy: &Policy) -> Check {
    let deposit = &policy.bid_deposit;
    let fees = if policy.min_fee_balance.denom == deposit.denom {
        policy.min_fee_balance.amount
    } else {
        0
    };
    let needed = Coin { denom: deposit.denom.clone(), amount: deposit.amount.saturating_add(fees) };
    Check::new(
        Rule::DepositCovered,
        available(facts, policy, &needed.denom) >= needed.amount,
        format!("a balance of {needed}"),
        balance_text(facts, policy, &needed.denom),
    )
}

/// What is left of the balance when the deposits of the bids since it was read are gone.
fn available(facts: &Facts, policy: &Policy, denom: &Denom) -> u128 {
    let put_down = if *denom == policy.bid_deposit.denom {
        policy.bid_deposit.amount.saturating_mul(u128::from(facts.bids_since))
    } else {
        0
    };
    facts.balance(denom).saturating_sub(put_down)
}

fn balance_text(facts: &Facts, policy: &Policy, denom: &Denom) -> String {
    let read = format!("{}{denom} in block {}", facts.balance(denom), facts.balances_at);
    if facts.bids_since == 0 || *denom != policy.bid_deposit.denom {
        return read;
    }
    format!("{read}, less {} deposits of {} since", facts.bids_since, policy.bid_deposit)
}

fn open_bids_limit(facts: &Facts, policy: &Policy) -> Check {
    let there = facts.open_bids;
    Check::new(
        Rule::OpenBidsLimit,
        policy.max_open_bids.is_none_or(|limit| there < limit),
        limit_text(policy.max_open_bids),
        there.to_string(),
    )
}

/// Every open bid may be taken, so bids count as the leases that they can become.
fn leases_limit(facts: &Facts, policy: &Policy) -> Check {
    let there = facts.leases.saturating_add(facts.open_bids);
    Check::new(
        Rule::LeasesLimit,
        policy.max_leases.is_none_or(|limit| there < limit),
        limit_text(policy.max_leases),
        format!("{there}: {} leases, {} bids that may be won", facts.leases, facts.open_bids),
    )
}

fn limit_text(limit: Option<u32>) -> String {
    limit.map_or("no limit".to_owned(), |limit| format!("fewer than {limit}"))
}

fn owner_allowed(facts: &Facts, policy: &Policy) -> Check {
    let owner = facts.order.id.owner();
    let denied = policy.deny_owners.contains(owner);
    let allowed = policy.allow_owners.is_empty() || policy.allow_owners.contains(owner);
    let needed = if policy.allow_owners.is_empty() {
        format!("none of {} denied owners", policy.deny_owners.len())
    } else {
        format!("one of {} allowed owners", policy.allow_owners.len())
    };
    let there = if denied { format!("{owner}, denied") } else { owner.to_string() };
    Check::new(Rule::OwnerAllowed, allowed && !denied, needed, there)
}

fn denom_accepted(facts: &Facts, policy: &Policy) -> Check {
    let price = facts.order.spec.price();
    Check::new(
        Rule::DenomAccepted,
        price.as_ref().is_some_and(|price| policy.accepted_denoms.contains(&price.denom)),
        format!("one of {}", join(&policy.accepted_denoms)),
        price.map_or("no price in one denom".to_owned(), |price| price.denom.to_string()),
    )
}

fn provider_attributes(facts: &Facts) -> Check {
    let required = &facts.order.spec.requirements.attributes;
    let there = provider_side(facts);
    let absent: Vec<_> = missing(required, there).map(attribute_text).collect();
    Check::new(
        Rule::ProviderAttributes,
        absent.is_empty(),
        attributes_text(required),
        if absent.is_empty() {
            format!("all {}", required.len())
        } else {
            format!(
                "{} of {}, without {}",
                required.len() - absent.len(),
                required.len(),
                absent.join(", ")
            )
        },
    )
}

fn order_attributes(facts: &Facts, policy: &Policy) -> Check {
    let wanted = &policy.required_order_attributes;
    let there = &facts.order.spec.requirements.attributes;
    Check::new(
        Rule::OrderAttributes,
        is_subset(wanted, there),
        attributes_text(wanted),
        attributes_text(there),
    )
}

fn storage_capability(facts: &Facts) -> Check {
    let units = &facts.order.spec.units;
    let wanted: Vec<_> = units
        .iter()
        .flat_map(|unit| unit.resources.storage.iter().map(move |volume| (unit, volume)))
        .filter(|(_, volume)| !volume.attributes.is_empty())
        .map(|(unit, volume)| {
            let wanted = attributes_text(&volume.attributes);
            format!("unit {} volume {:?}: {wanted}", unit.resources.id, volume.name)
        })
        .collect();
    let absent = units.iter().filter_map(|unit| {
        unanswered_volume(&unit.resources, provider_side(facts))
            .map(|volume| format!("unit {} volume {volume:?}", unit.resources.id))
    });
    capability_check(
        Rule::StorageCapability,
        STORAGE_CAPABILITY,
        facts,
        &wanted,
        &absent.collect::<Vec<_>>(),
    )
}

fn gpu_capability(facts: &Facts) -> Check {
    let text = |unit: &ResourceUnit| {
        let models = attributes_text(&unit.resources.gpu_attributes);
        format!("unit {}: one of {models}", unit.resources.id)
    };
    let units = &facts.order.spec.units;
    let wanted: Vec<_> = units
        .iter()
        .filter(|unit| unit.resources.gpu_units > 0 && !unit.resources.gpu_attributes.is_empty())
        .map(text)
        .collect();
    let absent =
        units.iter().filter(|unit| !gpu_answered(&unit.resources, provider_side(facts))).map(text);
    capability_check(
        Rule::GpuCapability,
        GPU_CAPABILITY,
        facts,
        &wanted,
        &absent.collect::<Vec<_>>(),
    )
}

/// What the units want of the provider's capabilities, and which of those it has.
fn capability_check(
    rule: Rule,
    prefix: &str,
    facts: &Facts,
    wanted: &[String],
    absent: &[String],
) -> Check {
    let needed =
        if wanted.is_empty() { "no capability".to_owned() } else { join_with(wanted, "; ") };
    let has: Vec<_> = provider_side(facts)
        .iter()
        .filter(|attribute| attribute.key.starts_with(prefix))
        .take(CAPABILITIES_SHOWN)
        .map(attribute_text)
        .collect();
    let has = if has.is_empty() { format!("no {prefix}… attribute") } else { has.join(", ") };
    let there = if absent.is_empty() {
        has
    } else {
        format!("none for {}; the provider has {has}", absent.join("; "))
    };
    Check::new(rule, absent.is_empty(), needed, there)
}

fn volumes(facts: &Facts, policy: &Policy) -> Check {
    let most = facts.order.spec.units.iter().map(|unit| unit.resources.storage.len()).max();
    let most = most.unwrap_or(0);
    Check::new(
        Rule::Volumes,
        most <= policy.max_volumes,
        format!("at most {} volumes in a unit", policy.max_volumes),
        most.to_string(),
    )
}

fn audits(facts: &Facts) -> Check {
    let requirements = &facts.order.spec.requirements;
    let wanted = &requirements.signed_by;
    let needed = match (wanted.all_of.is_empty(), wanted.any_of.is_empty()) {
        (true, true) => "no auditor".to_owned(),
        (false, true) => format!("all of {}", wanted.all_of.join(", ")),
        (true, false) => format!("any of {}", wanted.any_of.join(", ")),
        (false, false) => {
            format!("all of {} and any of {}", wanted.all_of.join(", "), wanted.any_of.join(", "))
        }
    };
    let signers: Vec<_> = facts
        .audited
        .iter()
        .filter(|audit| is_subset(&requirements.attributes, &audit.attributes))
        .map(|audit| audit.auditor.as_str())
        .collect();
    let there = if signers.is_empty() {
        "signed by none".to_owned()
    } else {
        format!("signed by {}", signers.join(", "))
    };
    Check::new(Rule::SignedBy, signed_by(requirements, &facts.audited), needed, there)
}

fn group_limits(facts: &Facts) -> Check {
    let spec = &facts.order.spec;
    let broken = limit_violations(spec);
    let there = if broken.is_empty() { group_totals(spec) } else { join_with(&broken, "; ") };
    Check::new(Rule::GroupLimits, broken.is_empty(), group_limits_text(), there)
}

fn order_size(facts: &Facts, policy: &Policy) -> Check {
    let max = &policy.max_order;
    let units = &facts.order.spec.units;
    let sum = |of: &dyn Fn(&ResourceUnit) -> u64| {
        units.iter().fold(0_u128, |sum, unit| {
            sum.saturating_add(u128::from(of(unit)) * u128::from(unit.count))
        })
    };
    let rows = [
        ("cpu milli", max.cpu_milli, sum(&|unit| unit.resources.cpu_milli)),
        ("memory bytes", max.memory_bytes, sum(&|unit| unit.resources.memory_bytes)),
        (
            "storage bytes",
            max.storage_bytes,
            sum(&|unit| {
                unit.resources
                    .storage
                    .iter()
                    .fold(0, |sum, one| u64::saturating_add(sum, one.bytes))
            }),
        ),
        ("gpu", max.gpu_units, sum(&|unit| unit.resources.gpu_units)),
        ("replicas", max.replicas, sum(&|_| 1)),
    ];
    let set: Vec<_> =
        rows.iter().filter_map(|(what, max, sum)| max.map(|max| (what, max, sum))).collect();
    let needed: Vec<_> = set.iter().map(|(what, max, _)| format!("{what} at most {max}")).collect();
    let there: Vec<_> = rows.iter().map(|(what, _, sum)| format!("{what} {sum}")).collect();
    Check::new(
        Rule::OrderSize,
        set.iter().all(|(_, max, sum)| **sum <= u128::from(*max)),
        if needed.is_empty() { "no limit".to_owned() } else { needed.join(", ") },
        there.join(", "),
    )
}

fn reclamation(facts: &Facts, policy: &Policy) -> Check {
    let needed = facts
        .order
        .min_reclamation_window_s
        .map_or("no notice".to_owned(), |wanted| format!("a notice of at least {wanted} s"));
    match reclamation_window(facts, policy) {
        Ok(window) => {
            let there =
                window.map_or("none offered".to_owned(), |window| format!("{window} s offered"));
            Check::new(Rule::Reclamation, true, needed, there)
        }
        Err(there) => Check::new(Rule::Reclamation, false, needed, there),
    }
}

fn provider_side(facts: &Facts) -> &[Attribute] {
    facts.provider.as_ref().map_or(&[], |provider| &provider.attributes)
}

fn attribute_text(attribute: &Attribute) -> String {
    format!("{}={}", attribute.key, attribute.value)
}

fn attributes_text(attributes: &[Attribute]) -> String {
    if attributes.is_empty() {
        return "no attributes".to_owned();
    }
    attributes.iter().map(attribute_text).collect::<Vec<_>>().join(", ")
}

fn join<T: ToString>(items: &[T]) -> String {
    join_with(items, ", ")
}

fn join_with<T: ToString>(items: &[T], separator: &str) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}
