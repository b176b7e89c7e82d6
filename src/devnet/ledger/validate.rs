//! What a message must be before any state is looked at; a node refuses the rest already when it is broadcast. Owns the
//! limits of ids, groups, attributes, prices and reasons.

use super::{
    certificate,
    escrow::units,
    grant,
    market::{price_of, price_of_group},
    message::{Message, escrow_id},
    refusal::{Refusal, deployment, market, provider, sdk},
    text,
};
use crate::wire::{
    base::{Attribute, Deposit, ResourceValue, Resources},
    cosmos::MsgSend,
    deployment::{DeploymentId, GroupId, GroupSpec, MsgCreateDeployment},
    market::{BidId, LeaseId, MsgCreateBid},
};

/// The length of a deployment's hash, in bytes.
const HASH_LENGTH: usize = 32;
/// The most that a unit may cost per block, in whole units.
const MAX_PRICE: u128 = 10_000_000;
/// The reasons that a provider may give.
const PROVIDER_REASONS: std::ops::RangeInclusive<i32> = 10_000..=19_999;

impl Message {
    /// Checks the message alone.
    pub(super) fn validate(&self) -> Result<(), Refusal> {
        match self {
            Self::CreateDeployment(message) => create_deployment(message),
            Self::UpdateDeployment(message) => {
                deployment_id(&message.id)?;
                hash(&message.hash)
            }
            Self::CloseDeployment(message) => deployment_id(&message.id),
            Self::CloseGroup(message) => group_id(&message.id),
            Self::PauseGroup(message) => group_id(&message.id),
            Self::StartGroup(message) => group_id(&message.id),
            Self::CreateBid(message) => create_bid(message),
            Self::CloseBid(message) => {
                bid_id(&message.id)?;
                reason(message.reason)
            }
            Self::CreateLease(message) => bid_id(&message.bid_id),
            Self::CloseLease(message) => lease_id(&message.id),
            Self::WithdrawLease(message) => lease_id(&message.id),
            Self::StartReclaim(message) => {
                lease_id(&message.id)?;
                reason(message.reason)
            }
            Self::AccountDeposit(message) => {
                text::address(&message.signer)?;
                escrow_id(&message.id)?;
                deposit(&message.deposit)
            }
            Self::CreateProvider(message) => {
                provider(&message.owner, &message.host_uri, &message.attributes)
            }
            Self::UpdateProvider(message) => {
                provider(&message.owner, &message.host_uri, &message.attributes)
            }
            Self::DeleteProvider(message) => text::address(&message.owner).map(drop),
            Self::SignAttributes(message) => {
                text::address(&message.owner)?;
                text::address(&message.auditor)?;
                attributes(&message.attributes, false)
            }
            Self::DeleteAttributes(message) => {
                text::address(&message.owner)?;
                text::address(&message.auditor).map(drop)
            }
            Self::CreateCertificate(message) => certificate::validate(message).map(drop),
            Self::RevokeCertificate(message) => certificate::validate_id(message).map(drop),
            Self::Grant(message) => grant::validate(message).map(drop),
            Self::RevokeGrant(message) => {
                text::address(&message.granter)?;
                text::address(&message.grantee).map(drop)
            }
            Self::Send(message) => send(message),
        }
    }
}

fn send(message: &MsgSend) -> Result<(), Refusal> {
    text::address(&message.from_address)?;
    text::address(&message.to_address)?;
    let mut last: Option<&str> = None;
    for coin in &message.amount {
        // Coins come sorted, each denom once, none of nothing.
        if units(coin)? == 0 || last.is_some_and(|last| last >= coin.denom.as_str()) {
            return Err(sdk::INVALID_COINS.because(format_args!("{}{}", coin.amount, coin.denom)));
        }
        last = Some(&coin.denom);
    }
    if last.is_none() { Err(sdk::INVALID_COINS.into()) } else { Ok(()) }
}

fn owner(kind: &str, owner: &str, dseq: u64) -> Result<(), Refusal> {
    text::address(owner)
        .map_err(|refusal| sdk::INVALID_ADDRESS.because(format_args!("{kind}: {}", refusal.log)))?;
    positive(kind, "dseq", dseq)
}

fn positive(kind: &str, part: &str, value: u64) -> Result<(), Refusal> {
    if value == 0 {
        return Err(sdk::INVALID_SEQUENCE.because(format_args!("{kind}: {part} is 0")));
    }
    Ok(())
}

fn deployment_id(id: &DeploymentId) -> Result<(), Refusal> {
    owner("DeploymentID", &id.owner, id.dseq)
}

fn group_id(id: &GroupId) -> Result<(), Refusal> {
    owner("GroupID", &id.owner, id.dseq)?;
    positive("GroupID", "gseq", id.gseq.into())
}

fn bid_id(id: &BidId) -> Result<(), Refusal> {
    let kind = "BidID";
    owner(kind, &id.owner, id.dseq)?;
    positive(kind, "gseq", id.gseq.into())?;
    positive(kind, "oseq", id.oseq.into())?;
    text::address(&id.provider)
        .map_err(|refusal| sdk::INVALID_ADDRESS.because(format_args!("{kind}: {}", refusal.log)))?;
    if id.owner == id.provider {
        return Err(sdk::CONFLICT.because(format_args!("{kind}: self-bid")));
    }
    if id.bseq != 0 {
        return Err(sdk::CONFLICT.because(format_args!("{kind}: invalid bseq")));
    }
    Ok(())
}

fn lease_id(id: &LeaseId) -> Result<(), Refusal> {
    bid_id(&BidId {
        owner: id.owner.clone(),
        dseq: id.dseq,
        gseq: id.gseq,
        oseq: id.oseq,
        provider: id.provider.clone(),
        bseq: id.bseq,
    })
}

fn hash(hash: &[u8]) -> Result<(), Refusal> {
    match hash.len() {
        0 => Err(deployment::EMPTY_HASH.into()),
        HASH_LENGTH => Ok(()),
        _ => Err(deployment::INVALID_HASH.into()),
    }
}

fn deposit(deposit: &Deposit) -> Result<(), Refusal> {
    units(&deposit.amount)?;
    let unknown = |&&source: &&i32| source != 1 && source != 2;
    if deposit.sources.is_empty() || deposit.sources.iter().any(|source| unknown(&source)) {
        return Err(sdk::INVALID_REQUEST.because("deposit sources are balance and grant"));
    }
    Ok(())
}

fn create_deployment(message: &MsgCreateDeployment) -> Result<(), Refusal> {
    deployment_id(&message.id)?;
    deposit(&message.deposit)?;
    if message.groups.is_empty() {
        return Err(deployment::INVALID_GROUPS.into());
    }
    hash(&message.hash)?;
    let window = message.reclamation.as_ref().map(|found| found.min_window);
    if window.is_some_and(|window| window.seconds < 0 || window.nanos < 0) {
        return Err(deployment::INVALID_RECLAMATION.because("min_window must be >= 0"));
    }
    let mut names: Vec<&str> = Vec::new();
    for spec in &message.groups {
        group_spec(spec).map_err(|why| {
            deployment::GROUP_SPEC.because(format_args!("{:?}: {why}", spec.name))
        })?;
        if names.contains(&spec.name.as_str()) {
            return Err(deployment::DUPLICATE_GROUP_NAME.because(format_args!("{:?}", spec.name)));
        }
        names.push(&spec.name);
        let denom = price_of_group(spec).map(|price| price.denom);
        let deposited = &message.deposit.amount;
        if let Some(denom) = denom.filter(|denom| {
            denom.as_str() != deposited.denom && units(deposited).is_ok_and(|units| units > 0)
        }) {
            return Err(deployment::INVALID_DEPOSIT.because(format_args!(
                "Mismatched denominations ({} != {denom})",
                deposited.denom
            )));
        }
    }
    Ok(())
}

fn group_spec(spec: &GroupSpec) -> Result<(), String> {
    if spec.name.is_empty() {
        return Err("name is empty".to_owned());
    }
    attributes(&spec.requirements.attributes, true).map_err(|refusal| refusal.log)?;
    if spec.resources.is_empty() {
        return Err("there are no resources".to_owned());
    }
    let mut ids = Vec::new();
    let (mut cpu, mut gpu, mut memory) = (0_u128, 0_u128, 0_u128);
    for unit in &spec.resources {
        let id = unit.resource.id;
        if id == 0 || ids.contains(&id) {
            return Err(format!("resource id {id} is 0 or not unique"));
        }
        ids.push(id);
        within("count", unit.count.into(), 1, 50)?;
        let sizes = resources(&unit.resource)?;
        let count = u128::from(unit.count);
        cpu += sizes.cpu * count;
        gpu += sizes.gpu * count;
        memory += sizes.memory * count;
        let price = price_of(&unit.price).ok_or_else(|| "price is not a number".to_owned())?;
        if price.amount.is_zero() || price.amount.whole_units() > MAX_PRICE {
            return Err(format!("price {price} is not above 0 and at most {MAX_PRICE}"));
        }
    }
    if price_of_group(spec).is_none() {
        return Err("prices are not in one denom".to_owned());
    }
    within("total cpu", cpu, 1, 19_200_000)?;
    within("total gpu", gpu, 0, 1_200)?;
    within("total memory", memory, 1, 100 << 40)
}

struct Sizes {
    cpu: u128,
    gpu: u128,
    memory: u128,
}

fn resources(resources: &Resources) -> Result<Sizes, String> {
    let (Some(cpu), Some(memory), Some(gpu)) = (&resources.cpu, &resources.memory, &resources.gpu)
    else {
        return Err("cpu, memory and gpu must be given".to_owned());
    };
    let sizes = Sizes {
        cpu: number(&cpu.units)?,
        gpu: number(&gpu.units)?,
        memory: number(&memory.quantity)?,
    };
    within("cpu", sizes.cpu, 10, 384_000)?;
    within("gpu", sizes.gpu, 0, 24)?;
    within("memory", sizes.memory, 1 << 20, 2 << 40)?;
    if sizes.gpu == 0 && !gpu.attributes.is_empty() {
        return Err("gpu attributes without gpu units".to_owned());
    }
    for volume in &resources.storage {
        within("storage", number(&volume.quantity)?, 5 << 20, 32 << 40)?;
        attributes(&volume.attributes, true).map_err(|refusal| refusal.log)?;
    }
    if resources.endpoints.iter().any(|endpoint| !(0..=2).contains(&endpoint.kind)) {
        return Err("endpoint kind is unknown".to_owned());
    }
    attributes(&cpu.attributes, true)
        .and_then(|()| attributes(&memory.attributes, true))
        .and_then(|()| attributes(&gpu.attributes, true))
        .map_err(|refusal| refusal.log)?;
    Ok(sizes)
}

fn number(value: &ResourceValue) -> Result<u128, String> {
    std::str::from_utf8(&value.val)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| "resource value is not a number".to_owned())
}

fn within(what: &str, value: u128, least: u128, most: u128) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("{what} {value} is not from {least} to {most}"))
    }
}

fn create_bid(message: &MsgCreateBid) -> Result<(), Refusal> {
    bid_id(&message.id)?;
    let zero = !message.price.amount.is_empty() && message.price.amount.bytes().all(|b| b == b'0');
    if zero {
        return Err(market::BID_ZERO_PRICE.into());
    }
    deposit(&message.deposit)
}

fn reason(reason: i32) -> Result<(), Refusal> {
    if PROVIDER_REASONS.contains(&reason) {
        return Ok(());
    }
    Err(market::CLOSE_REASON.because(format_args!("value \"{reason}\" range 10000..19999")))
}

fn provider(owner: &str, host_uri: &str, list: &[Attribute]) -> Result<(), Refusal> {
    text::address(owner)?;
    let wrong = |part: &str, wanted: &str| {
        let shown: String = host_uri.chars().take(128).collect();
        Err(provider::HOST_URI.because(format_args!("{part} in {shown:?} should be {wanted}")))
    };
    let Some(rest) = host_uri.strip_prefix("https://") else { return wrong("scheme", "https") };
    match rest.split_once('/') {
        None if !rest.is_empty() => {}
        None | Some(("", _)) => return wrong("host", "given"),
        Some(_) => return wrong("path", "empty"),
    }
    attributes(list, false)
}

/// Checks keys and that each comes once; a required key may end in one `*`.
fn attributes(list: &[Attribute], required: bool) -> Result<(), Refusal> {
    for (index, attribute) in list.iter().enumerate() {
        if !is_key(&attribute.key, required) {
            let shown: String = attribute.key.chars().take(128).collect();
            return Err(provider::ATTRIBUTES.because(format_args!("invalid key {shown:?}")));
        }
        if list[..index].iter().any(|earlier| earlier.key == attribute.key) {
            return Err(
                provider::ATTRIBUTES.because(format_args!("duplicate key {:?}", attribute.key))
            );
        }
    }
    Ok(())
}

fn is_key(key: &str, required: bool) -> bool {
    let key = if required { key.strip_suffix('*').unwrap_or(key) } else { key };
    let inner = |c: char| c.is_ascii_alphanumeric() || "_/.-".contains(c);
    (2..=128).contains(&key.len())
        && key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.chars().all(inner)
}
