//! How the node writes numbers and bytes in JSON: numbers of 64 bits in quotes, bytes in base64 or hex. Owns the serde
//! adapters for them.
//!
//! Reading is more generous than writing: a number may come with or without quotes, since nodes differ.

use base64::{Engine, engine::general_purpose::STANDARD};

/// A 64-bit number in quotes.
pub mod quoted {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize, Deserializer, Serializer, de};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Unsigned(u64),
        Signed(i64),
        Text(String),
    }

    /// Writes it in quotes.
    pub fn serialize<T: Display, S: Serializer>(
        number: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    /// Reads it with or without quotes.
    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr,
        D: Deserializer<'de>,
    {
        let text = match Form::deserialize(deserializer)? {
            Form::Unsigned(number) => number.to_string(),
            Form::Signed(number) => number.to_string(),
            Form::Text(text) => text,
        };
        text.parse().map_err(|_| {
            let shown: String = text.chars().take(32).collect();
            de::Error::custom(format_args!("{shown:?} is not a whole number of this field's range"))
        })
    }
}

/// A 32-bit number: written bare, read with or without quotes.
pub mod bare {
    use serde::{Deserializer, Serializer};

    /// Writes it bare.
    pub fn serialize<S: Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(*number)
    }

    /// Reads it with or without quotes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        super::quoted::deserialize(deserializer)
    }
}

/// Bytes in base64.
pub mod base64_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes standard base64 with padding.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::to_base64(bytes))
    }

    /// Reads standard base64 with padding; `null` is no bytes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        super::from_base64(&text).ok_or_else(|| de::Error::custom("is not base64"))
    }
}

/// Bytes in base64 where none are written as `null`.
pub mod nullable_base64 {
    use serde::{Deserializer, Serializer};

    /// Writes standard base64, or `null` for no bytes.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if bytes.is_empty() {
            serializer.serialize_none()
        } else {
            super::base64_bytes::serialize(bytes, serializer)
        }
    }

    /// Reads standard base64; `null` is no bytes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        super::base64_bytes::deserialize(deserializer)
    }
}

/// A list of byte strings in base64; `null` is an empty one.
pub mod base64_list {
    use serde::{Deserialize, Deserializer, Serializer, de};

    /// Writes each in standard base64.
    pub fn serialize<S: Serializer>(list: &[Vec<u8>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|bytes| super::to_base64(bytes)))
    }

    /// Reads each from standard base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        Option::<Vec<String>>::deserialize(deserializer)?
            .unwrap_or_default()
            .iter()
            .map(|text| super::from_base64(text))
            .collect::<Option<_>>()
            .ok_or_else(|| de::Error::custom("is not base64"))
    }
}

/// Standard base64 with padding.
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes of standard base64 with padding, or `None`.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// Lower-case hex.
pub fn to_hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// Upper-case hex, as transaction and block hashes are written.
pub fn to_upper_hex(bytes: &[u8]) -> String {
    base16ct::upper::encode_string(bytes)
}

/// The bytes of hex in either case, or `None`.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    base16ct::mixed::decode_vec(text).ok()
}
