//! Why a text in one of the encrypted forms gives no key. Says what is wrong with the form, never what is in it.

/// What is wrong with an encrypted key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Another passphrase, or a byte was changed: the two look the same.
    #[error("the passphrase is wrong, or the file was changed")]
    Passphrase,
    /// Not the form that it claims to be.
    #[error("it is damaged: {0}")]
    Malformed(&'static str),
    /// A key of another kind.
    #[error("it holds a key of type {0:?}, the chain's accounts need \"secp256k1\"")]
    Kind(String),
    /// The keyring names a key that it does not hold.
    #[error("it holds no private key, only the name of one ({0})")]
    Elsewhere(&'static str),
}
