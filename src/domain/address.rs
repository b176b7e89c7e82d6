//! Account addresses: bech32 with the prefix `akash` over 20 (keys) or 32 (modules) bytes.

use std::{fmt, str::FromStr, sync::Arc};

use bech32::{Bech32, Hrp};
use serde::{Deserialize, Serialize, de};

/// The human-readable part of every account address of the chain.
pub const PREFIX: &str = "akash";

/// An account of the chain: a tenant, a provider, an auditor. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(Arc<str>);

/// Why a text is not an [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not bech32 at all, or its checksum is wrong.
    #[error("address {0:?} is not bech32 with a valid checksum")]
    Malformed(String),
    /// Another prefix than [`PREFIX`].
    #[error("address {0:?} does not start with \"akash1\"")]
    Prefix(String),
    /// Neither 20 nor 32 bytes.
    #[error("address {address:?} holds {bytes} bytes, allowed are 20 and 32")]
    Length {
        /// What was given.
        address: String,
        /// How many bytes it decodes to.
        bytes: usize,
    },
}

impl Address {
    /// The address of an account from its raw bytes: `ripemd160(sha256(compressed public key))` for a key.
    ///
    /// # Errors
    /// [`AddressError::Length`] unless there are 20 or 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, AddressError> {
        let text = bech32::encode::<Bech32>(Hrp::parse_unchecked(PREFIX), bytes)
            .map_err(|_| AddressError::Length { address: String::new(), bytes: bytes.len() })?;
        text.parse()
    }

    /// The bech32 text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The raw bytes, 20 or 32.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // The text was decoded when the value was made, so this cannot fail.
        bech32::decode(&self.0).map(|(_, bytes)| bytes).unwrap_or_default()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        // A bech32 text is at most 90 characters; refuse early so that no error carries a huge text.
        if text.len() > 90 {
            return Err(AddressError::Malformed(text.chars().take(20).collect()));
        }
        let (prefix, bytes) =
            bech32::decode(text).map_err(|_| AddressError::Malformed(text.to_owned()))?;
        if prefix.as_str() != PREFIX {
            return Err(AddressError::Prefix(text.to_owned()));
        }
        if bytes.len() != 20 && bytes.len() != 32 {
            return Err(AddressError::Length { address: text.to_owned(), bytes: bytes.len() });
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_survives_its_bytes() {
        let address: Address = "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww".parse().unwrap();
        assert_eq!(Address::from_bytes(&address.to_bytes()).unwrap(), address);
    }

    #[test]
    fn a_wrong_prefix_a_wrong_checksum_and_a_wrong_length_are_told_apart() {
        let validator =
            bech32::encode::<Bech32>(Hrp::parse("akashvaloper").unwrap(), &[1; 20]).unwrap();
        assert!(matches!(validator.parse::<Address>(), Err(AddressError::Prefix(_))));
        assert!(matches!(
            "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkywx".parse::<Address>(),
            Err(AddressError::Malformed(_))
        ));
        assert!(matches!(
            Address::from_bytes(&[1; 21]),
            Err(AddressError::Length { bytes: 21, .. })
        ));
    }
}
