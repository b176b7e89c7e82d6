//! Certificates for mutual TLS as the reference's tools make and keep them: one file `<address>.pem` with the certificate and
//! its key. Owns making, reading and opening such a file; publishing it is a command's, and the chain's checks are
//! [`crate::wire::x509`]'s.
//!
//! The surprising fact: the file's password is the account's signature over its own address, so nobody ever types it, and
//! whoever holds the account's key can open the file. Signatures are deterministic (RFC 6979), so it is always the same.
//!
//! One thing is left out that the reference writes: a constraint of names. It is meant for authorities, and strict readers
//! refuse the wildcards in it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use p256::{
    ecdsa::{DerSignature, SigningKey},
    pkcs8::EncodePrivateKey,
};
use pkcs8::{
    EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument, pkcs5::pbes2,
};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::zeroize::Zeroizing;
use x509_cert::{
    Certificate, TbsCertificate,
    attr::AttributeTypeAndValue,
    builder::{self, Builder, CertificateBuilder, profile::BuilderProfile},
    der::{
        Decode, Encode,
        asn1::{Any, GeneralizedTime, Ia5String, ObjectIdentifier, PrintableString},
        pem,
    },
    ext::{
        Extension, ToExtension,
        pkix::{
            BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
            name::GeneralName,
        },
    },
    name::{Name, RdnSequence, RelativeDistinguishedName},
    serial_number::SerialNumber,
    spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef},
    time::{Time, Validity},
};

use crate::{
    domain::Address,
    wire::x509::{self, CERTIFICATE_LABEL, PUBLIC_KEY_LABEL, X509, X509Error},
};

const ENCRYPTED_LABEL: &str = "ENCRYPTED PRIVATE KEY";
const PLAIN_LABEL: &str = "PRIVATE KEY";
/// The largest file that is read, in bytes; a real one has about a thousand.
pub const MAX_FILE: usize = 64 << 10;
/// How long a certificate is valid.
const VALIDITY: SignedDuration = SignedDuration::from_hours(365 * 24);
/// Rounds between password and key.
const ROUNDS: u32 = 600_000;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// In a subject it says which version of the rules the certificate was made by.
const VERSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.2.6");
const VERSION_TEXT: &str = "v0.0.1";
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");

/// Why there is no certificate. Says nothing of what is in a key.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A part of the file is missing.
    #[error("it has no {0:?} block")]
    Missing(&'static str),
    /// Larger than any such file.
    #[error("it is larger than {MAX_FILE} bytes")]
    Size,
    /// Not what the chain would take.
    #[error(transparent)]
    X509(#[from] X509Error),
    /// The password is wrong, or the key is damaged.
    #[error("its key does not open with this account's signature")]
    Key,
    /// The key is another certificate's.
    #[error("its key does not belong to its certificate")]
    OtherKey,
    /// A name that no certificate may have.
    #[error("{0:?} is no name of a host")]
    Host(String),
    /// Nothing can be encoded, or the system gives no random bytes.
    #[error("a certificate cannot be made: {0}")]
    Make(String),
}

fn make(error: impl std::fmt::Display) -> CertificateError {
    CertificateError::Make(error.to_string())
}

/// A certificate as it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// PEM text.
    pub certificate: String,
    /// PEM text under the label that the chain wants.
    pub public_key: String,
    /// What it says.
    pub about: X509,
}

impl Published {
    /// The certificate of `owner` in the text of a file. Its key is not needed and not opened.
    ///
    /// # Errors
    /// [`CertificateError::Size`], [`CertificateError::Missing`], [`CertificateError::X509`].
    pub fn read(owner: &Address, file: &str) -> Result<Self, CertificateError> {
        let (_, text) = block(file, &[CERTIFICATE_LABEL])?;
        let (_, bytes) = pem::decode_vec(text.as_bytes()).map_err(|_| X509Error::Certificate)?;
        Self::from_der(owner, &bytes)
    }

    fn from_der(owner: &Address, bytes: &[u8]) -> Result<Self, CertificateError> {
        let found = Certificate::from_der(bytes).map_err(|_| X509Error::Certificate)?;
        let key = found.tbs_certificate().subject_public_key_info().to_der().map_err(make)?;
        let text =
            |label, bytes: &[u8]| pem::encode_string(label, LineEnding::LF, bytes).map_err(make);
        let certificate = text(CERTIFICATE_LABEL, bytes)?;
        let public_key = text(PUBLIC_KEY_LABEL, &key)?;
        let about = x509::read(owner, certificate.as_bytes(), public_key.as_bytes())?;
        Ok(Self { certificate, public_key, about })
    }
}

/// A certificate with its key, made just now.
pub struct Made {
    /// What is published.
    pub published: Published,
    key: SecretDocument,
}

impl Made {
    /// Makes the certificate of `owner`, valid from `now` for a year: for a server under `hosts`, or for a client when there
    /// are none.
    ///
    /// # Errors
    /// [`CertificateError::Host`], [`CertificateError::Make`].
    pub fn new(
        owner: &Address,
        hosts: &[String],
        now: Timestamp,
    ) -> Result<Self, CertificateError> {
        let key = generate()?;
        let signing = SigningKey::from(&key);
        let spki = SubjectPublicKeyInfoOwned::from_key(signing.verifying_key()).map_err(make)?;
        let names = hosts.iter().map(|host| dns_name(host)).collect::<Result<Vec<_>, _>>()?;
        let profile = Profile { subject: subject(owner).map_err(make)?, names };
        let nanos = u64::try_from(now.as_nanosecond()).map_err(make)?;
        let serial = SerialNumber::new(&nanos.to_be_bytes()).map_err(make)?;
        let end = now.checked_add(VALIDITY).map_err(make)?;
        let validity = Validity::new(time(now)?, time(end)?);
        let certificate = CertificateBuilder::new(profile, serial, validity, spki)
            .and_then(|builder| builder.build::<_, DerSignature>(&signing))
            .map_err(make)?;
        let published = Published::from_der(owner, &certificate.to_der().map_err(make)?)?;
        Ok(Self { published, key: key.to_pkcs8_der().map_err(make)? })
    }

    /// The text of `<address>.pem`: with a password (the account's signature over its address) the key is encrypted, without one it is plain.
    ///
    /// # Errors
    /// [`CertificateError::Make`].
    pub fn to_file(&self, password: Option<&[u8]>) -> Result<Zeroizing<String>, CertificateError> {
        let key = match password {
            None => self.key.to_pem(PLAIN_LABEL, LineEnding::LF).map_err(make)?,
            Some(password) => {
                let (salt, vector) = (random::<16>()?, random::<16>()?);
                let parameters =
                    pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(ROUNDS, &salt, vector)
                        .map_err(make)?;
                PrivateKeyInfoRef::try_from(self.key.as_bytes())
                    .and_then(|key| key.encrypt_with_params(parameters, password))
                    .map_err(make)?
                    .to_pem(ENCRYPTED_LABEL, LineEnding::LF)
                    .map_err(make)?
            }
        };
        Ok(Zeroizing::new(format!("{}{}", self.published.certificate, key.as_str())))
    }
}

/// Opens the key in the text of a file: PKCS#8, as TLS takes it.
///
/// # Errors
/// [`CertificateError`].
pub fn open_key(
    owner: &Address,
    file: &str,
    password: &[u8],
) -> Result<SecretDocument, CertificateError> {
    use p256::pkcs8::{DecodePrivateKey, EncodePublicKey};
    let published = Published::read(owner, file)?;
    let (label, text) = block(file, &[ENCRYPTED_LABEL, PLAIN_LABEL])?;
    let (_, document) = SecretDocument::from_pem(text).map_err(|_| CertificateError::Key)?;
    let document = if label == ENCRYPTED_LABEL {
        EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
            .map_err(|_| CertificateError::Key)?
            .decrypt(password)
            .map_err(|_| CertificateError::Key)?
    } else {
        document
    };
    let key = p256::SecretKey::from_pkcs8_der(document.as_bytes());
    let key = key.map_err(|_| CertificateError::Key)?.public_key().to_public_key_der();
    let (_, named) =
        pem::decode_vec(published.public_key.as_bytes()).map_err(|_| X509Error::PublicKey)?;
    if key.is_ok_and(|key| key.as_bytes() == named) {
        Ok(document)
    } else {
        Err(CertificateError::OtherKey)
    }
}

/// The block of a file with one of these labels, as text.
fn block<'a>(
    file: &'a str,
    labels: &[&'static str],
) -> Result<(&'static str, &'a str), CertificateError> {
    if file.len() > MAX_FILE {
        return Err(CertificateError::Size);
    }
    for label in labels {
        let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
        let found = file.find(&begin).and_then(|start| {
            let length = file[start..].find(&end)? + end.len();
            file.get(start..start + length)
        });
        if let Some(found) = found {
            return Ok((label, found));
        }
    }
    Err(CertificateError::Missing(labels[0]))
}

fn random<const N: usize>() -> Result<[u8; N], CertificateError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| make("the system gives no random bytes"))?;
    Ok(bytes)
}

/// A random number is a key of the curve but for one draw in four billion.
fn generate() -> Result<p256::SecretKey, CertificateError> {
    for _ in 0..8 {
        let bytes = Zeroizing::new(random::<32>()?);
        if let Ok(key) = p256::SecretKey::from_slice(bytes.as_slice()) {
            return Ok(key);
        }
    }
    Err(make("the system's random bytes are not random"))
}

fn dns_name(host: &str) -> Result<GeneralName, CertificateError> {
    let bad = || CertificateError::Host(host.chars().take(64).collect());
    let plain = host.strip_prefix("*.").unwrap_or(host);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if host.len() > 253 || !plain.split('.').all(is_label) {
        return Err(bad());
    }
    Ia5String::new(host).map(GeneralName::DnsName).map_err(|_| bad())
}

fn subject(owner: &Address) -> x509_cert::der::Result<Name> {
    let part = |oid, text: &str| {
        let value = Any::encode_from(&PrintableString::new(text)?)?;
        RelativeDistinguishedName::try_from(vec![AttributeTypeAndValue { oid, value }])
    };
    let parts = vec![part(COMMON_NAME, owner.as_str())?, part(VERSION, VERSION_TEXT)?];
    Name::from_der(&RdnSequence::from(parts).to_der()?)
}

fn time(at: Timestamp) -> Result<Time, CertificateError> {
    let seconds = u64::try_from(at.as_second()).map_err(make)?;
    GeneralizedTime::from_unix_duration(Duration::from_secs(seconds))
        .map(Time::GeneralTime)
        .map_err(make)
}

/// What the reference puts into a certificate.
struct Profile {
    subject: Name,
    names: Vec<GeneralName>,
}

impl BuilderProfile for Profile {
    fn get_issuer(&self, subject: &Name) -> Name {
        subject.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        _: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        let mut list: Vec<Extension> = Vec::new();
        let usage = KeyUsage(KeyUsages::KeyEncipherment | KeyUsages::DataEncipherment);
        list.push((true, &usage).to_extension(&self.subject, &list)?);
        let mut purposes = vec![CLIENT_AUTH];
        if !self.names.is_empty() {
            purposes.push(SERVER_AUTH);
        }
        let purposes = ExtendedKeyUsage(purposes);
        list.push((false, &purposes).to_extension(&self.subject, &list)?);
        let constraints = BasicConstraints { ca: false, path_len_constraint: None };
        list.push((true, &constraints).to_extension(&self.subject, &list)?);
        if !self.names.is_empty() {
            let names = SubjectAltName(self.names.clone());
            list.push((false, &names).to_extension(&self.subject, &list)?);
        }
        Ok(list)
    }
}
