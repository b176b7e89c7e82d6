//! What a new chain starts with: its id, who has money, which providers are registered, the parameters. Owns the
//! defaults for development; the ledger owns what follows from them.
//!
//! The accounts are those of the mnemonic that the chain's own test setups publish, so everybody can sign for them:
//! a chain that starts like this must never hold anything of worth.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{Address, Amount, Attribute, Coin, Denom, Price},
    wire::{self, google::Duration, key::SecretKey},
};

/// The id of the chain unless the settings say otherwise.
pub const CHAIN_ID: &str = "lessor-devnet-1";

/// The mnemonic that the chain's test setups publish.
pub const MNEMONIC: &str = "wild random elephant refuse clock effort menu barely broccoli team mind \
                            magnet pretty fashion fame category turtle rug exclude card view civil \
                            purity powder";

/// The accounts of [`MNEMONIC`] that have money, by the index of their key.
pub const ACCOUNTS: [(&str, &str); 6] = [
    ("tenant", "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww"),
    ("provider", "akash18tdthhtcvfmzl60r0r6gvjdcelc0wtwfumqsdz"),
    ("validator", "akash1sdv7sz7y4j2z9l6nyrk9g4ztjh9dvml75gfgra"),
    ("tenant2", "akash166clkmu6yh7wjpdma0kg8t7wz97vcjx7fpl23w"),
    ("provider2", "akash1sdgu90m8yzlvafp56yr8ztlg06jp4eqmelnulg"),
    ("auditor", "akash1lrnw4zp0etztt3yjvfpct3vmz0tztr9lgz4zwf"),
];

/// Who has audited a development provider: the auditor that published documents ask for, so that they are bid on as they
/// are.
const AUDITORS: [&str; 1] = ["akash1365yvmc4s7awdyj3n2sav7xfx76adc6dnmlx63"];

/// What each account of [`ACCOUNTS`] has of `uact` and of `uakt`.
const BALANCE: u128 = 10_000_000_000_000;

/// The key of [`MNEMONIC`] at `m/44'/118'/0'/0/index`: 0 to 5 are [`ACCOUNTS`].
///
/// # Errors
/// [`wire::key::KeyError::Index`] for an index that no key has.
pub fn test_key(index: u32) -> Result<SecretKey, wire::key::KeyError> {
    SecretKey::from_mnemonic(&MNEMONIC.into(), index)
}

/// What a new chain starts with. Kept as the first line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// The chain's id, part of every signature.
    pub chain_id: String,
    /// The time of block 0.
    pub time: Timestamp,
    /// Numbered from 0 in this order.
    pub accounts: Vec<GenesisAccount>,
    /// Registered providers.
    pub providers: Vec<GenesisProvider>,
    /// What governance would set.
    pub params: Params,
}

/// An account with money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisAccount {
    /// Whose.
    pub address: Address,
    /// Each denom once.
    pub coins: Vec<Coin>,
}

/// A provider that is registered from the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisProvider {
    /// Its account.
    pub owner: Address,
    /// `https://host[:port]`.
    pub host_uri: String,
    /// What it claims to be.
    pub attributes: Vec<Attribute>,
    /// Who has signed all of that.
    #[serde(default)]
    pub auditors: Vec<Address>,
}

/// What governance sets on the real chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The least deposit of a bid, one for each denom that is taken.
    pub bid_min_deposits: Vec<Coin>,
    /// The least deposit of a deployment, one for each denom that is taken.
    pub deployment_min_deposits: Vec<Coin>,
    /// How many bids an order may have before one more is refused; the chain lets one more in.
    pub order_max_bids: u32,
    /// The shortest notice of a lease's end, in seconds.
    pub min_reclamation_window_s: u32,
    /// The longest notice of a lease's end, in seconds.
    pub max_reclamation_window_s: u32,
    /// The least fee for a unit of gas that the node takes.
    pub min_gas_price: Price,
}

impl Default for Params {
    fn default() -> Self {
        let minimum = |denom| Coin { denom, amount: 500_000 };
        Self {
            bid_min_deposits: vec![minimum(Denom::uact()), minimum(Denom::uakt())],
            deployment_min_deposits: vec![minimum(Denom::uakt()), minimum(Denom::uact())],
            order_max_bids: 20,
            min_reclamation_window_s: 3_600,
            max_reclamation_window_s: 2_592_000,
            min_gas_price: Price {
                denom: Denom::uakt(),
                amount: Amount::from_atoms(2_500_000_000_000_000),
            },
        }
    }
}

impl Params {
    /// The market's parameters as the chain answers them.
    pub(super) fn market(&self) -> wire::market::Params {
        let window = |seconds: u32| Duration::from_seconds(seconds.into());
        let uakt = self.bid_min_deposits.iter().find(|coin| coin.denom == Denom::uakt());
        wire::market::Params {
            bid_min_deposit: uakt.map(wire_coin).unwrap_or_default(),
            order_max_bids: self.order_max_bids,
            bid_min_deposits: self.bid_min_deposits.iter().map(wire_coin).collect(),
            min_reclamation_window: window(self.min_reclamation_window_s),
            max_reclamation_window: window(self.max_reclamation_window_s),
        }
    }

    /// The deployments' parameters as the chain answers them.
    pub(super) fn deployment(&self) -> wire::deployment::Params {
        wire::deployment::Params {
            min_deposits: self.deployment_min_deposits.iter().map(wire_coin).collect(),
        }
    }
}

fn wire_coin(coin: &Coin) -> wire::cosmos::Coin {
    wire::cosmos::Coin { denom: coin.denom.to_string(), amount: coin.amount.to_string() }
}

impl Genesis {
    /// A chain for development that starts at `time`: all of [`ACCOUNTS`] are rich, and each of `hosts` (a key index
    /// and the address of its gateway) is a registered provider.
    #[must_use]
    pub fn development(chain_id: &str, time: Timestamp, hosts: &[(usize, String)]) -> Self {
        let addresses: Vec<Address> =
            ACCOUNTS.iter().filter_map(|(_, address)| address.parse().ok()).collect();
        let coins = [Denom::uact(), Denom::uakt()].map(|denom| Coin { denom, amount: BALANCE });
        let providers = hosts
            .iter()
            .filter_map(|(index, host_uri)| {
                Some(GenesisProvider {
                    owner: addresses.get(*index)?.clone(),
                    host_uri: host_uri.clone(),
                    attributes: provider_attributes(),
                    auditors: AUDITORS.iter().filter_map(|auditor| auditor.parse().ok()).collect(),
                })
            })
            .collect();
        let accounts = addresses
            .into_iter()
            .map(|address| GenesisAccount { address, coins: coins.to_vec() })
            .collect();
        Self { chain_id: chain_id.to_owned(), time, accounts, providers, params: Params::default() }
    }
}

/// What a registered provider claims to be: a region, three storage classes, two GPU models.
fn provider_attributes() -> Vec<Attribute> {
    [
        ("region", "us-west"),
        ("host", "akash"),
        ("tier", "community"),
        ("capabilities/storage/1/class", "default"),
        ("capabilities/storage/1/persistent", "true"),
        ("capabilities/storage/2/class", "beta2"),
        ("capabilities/storage/2/persistent", "true"),
        ("capabilities/storage/3/class", "beta3"),
        ("capabilities/storage/3/persistent", "true"),
        ("capabilities/storage/4/class", "ram"),
        ("capabilities/storage/4/persistent", "false"),
        ("capabilities/gpu/vendor/nvidia/model/a100", "true"),
        ("capabilities/gpu/vendor/nvidia/model/a100/ram/80Gi", "true"),
        ("capabilities/gpu/vendor/nvidia/model/rtx4090", "true"),
        ("capabilities/gpu/vendor/nvidia/model/rtx4090/ram/24Gi", "true"),
    ]
    .map(|(key, value)| Attribute::new(key, value))
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accounts_are_those_of_the_public_mnemonic() {
        for (index, (name, address)) in (0..).zip(ACCOUNTS) {
            assert_eq!(test_key(index).unwrap().public_key().address().as_str(), address, "{name}");
        }
    }
}
