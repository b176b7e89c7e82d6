//! A certificate for mutual TLS as the chain checks it before it keeps it: two PEM texts in; owner, serial and times out.
//! Owns these checks only: the messages around the texts are [`super::cert`]'s, and making a certificate is an operator's.
//!
//! The one surprising fact: the public key must carry the label `EC PUBLIC KEY`, under which no other tool writes a key in
//! this form, and the chain refuses the usual `PUBLIC KEY`.

use jiff::Timestamp;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use ruint::aliases::U256;
use x509_cert::{
    Certificate,
    der::{Decode, Encode, asn1::ObjectIdentifier, pem},
    spki::SubjectPublicKeyInfoOwned,
    time::Time,
};

use crate::domain::Address;

/// The label of a certificate's PEM text.
pub const CERTIFICATE_LABEL: &str = "CERTIFICATE";
/// The label of a public key's PEM text, as the chain wants it.
pub const PUBLIC_KEY_LABEL: &str = "EC PUBLIC KEY";
/// The most bytes that each of the two texts may have; real ones have about a thousand.
pub const MAX_BYTES: usize = 16 << 10;

/// `commonName` of X.520.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct X509 {
    /// Its subject's common name, which is its issuer's too.
    pub owner: Address,
    /// Decimal; unique to the owner, and the name under which the chain keeps it.
    pub serial: String,
    /// It may not be used before.
    pub not_before: Timestamp,
    /// It may not be used after.
    pub not_after: Timestamp,
}

/// Why the chain would not take a certificate. Displays as the chain's own text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum X509Error {
    /// No certificate in PEM.
    #[error("invalid certificate value")]
    Certificate,
    /// PEM of something else.
    #[error("invalid certificate value: invalid pem block type")]
    CertificateLabel,
    /// No public key in PEM.
    #[error("invalid pubkey value")]
    PublicKey,
    /// The label is not [`PUBLIC_KEY_LABEL`].
    #[error("invalid pubkey value: invalid pem block type")]
    PublicKeyLabel,
    /// The common name is another account's, or none.
    #[error("invalid certificate value: CommonName does not match owner")]
    Owner,
    /// The public key has not signed it: it is of another certificate, or not on the curve P-256.
    #[error("invalid certificate value: invalid certificate signature")]
    Signature,
}

/// Reads the certificate of `owner`, which its own key must have signed.
///
/// # Errors
/// [`X509Error`], of which the chain would answer the same.
pub fn read(owner: &Address, certificate: &[u8], public_key: &[u8]) -> Result<X509, X509Error> {
    let key = block(public_key, PUBLIC_KEY_LABEL, X509Error::PublicKey, X509Error::PublicKeyLabel)?;
    let found =
        block(certificate, CERTIFICATE_LABEL, X509Error::Certificate, X509Error::CertificateLabel)?;
    let key = SubjectPublicKeyInfoOwned::from_der(&key).map_err(|_| X509Error::PublicKey)?;
    let found = Certificate::from_der(&found).map_err(|_| X509Error::Certificate)?;
    let named = common_name(&found).ok_or(X509Error::Owner)?;
    if named != owner.as_str() {
        return Err(X509Error::Owner);
    }
    verify(&found, &key).ok_or(X509Error::Signature)?;
    let about = found.tbs_certificate();
    let serial = U256::try_from_be_slice(about.serial_number().as_bytes());
    let validity = about.validity();
    Ok(X509 {
        owner: owner.clone(),
        serial: serial.ok_or(X509Error::Certificate)?.to_string(),
        not_before: time(validity.not_before)?,
        not_after: time(validity.not_after)?,
    })
}

fn block(
    text: &[u8],
    label: &str,
    malformed: X509Error,
    mislabelled: X509Error,
) -> Result<Vec<u8>, X509Error> {
    if text.len() > MAX_BYTES {
        return Err(malformed);
    }
    match pem::decode_vec(text) {
        Ok((found, bytes)) if found == label => Ok(bytes),
        Ok(_) => Err(mislabelled),
        Err(_) => Err(malformed),
    }
}

fn common_name(certificate: &Certificate) -> Option<&str> {
    let named = |name: &&x509_cert::attr::AttributeTypeAndValue| name.oid == COMMON_NAME;
    let name = certificate.tbs_certificate().subject().iter().find(named)?;
    std::str::from_utf8(name.value.value()).ok()
}

fn verify(certificate: &Certificate, key: &SubjectPublicKeyInfoOwned) -> Option<()> {
    let signed = certificate.tbs_certificate().to_der().ok()?;
    let signature = certificate.signature().as_bytes()?;
    let point = key.subject_public_key.as_bytes()?;
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(&signed, signature).ok()
}

fn time(time: Time) -> Result<Timestamp, X509Error> {
    i64::try_from(time.to_unix_duration().as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .ok_or(X509Error::Certificate)
}
