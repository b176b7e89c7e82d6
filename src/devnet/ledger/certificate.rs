//! Certificates for mutual TLS: publish, revoke, list. Owns their messages; what makes a certificate acceptable is
//! [`crate::wire::x509`]'s.
//!
//! The chain emits no event of its own for any of them: whoever keeps certificates in a cache learns nothing.

use super::{
    execution::{Execution, gas},
    refusal::{Refusal, cert},
    text,
};
use crate::{
    domain::Address,
    wire::{
        cert::{
            Certificate, CertificateFilter, CertificateResponse, MsgCreateCertificate,
            MsgRevokeCertificate, State,
        },
        x509::{self, X509Error},
    },
};

/// The owner's raw address, and the serial as big-endian bytes behind their number.
pub(super) type Key = (Vec<u8>, Vec<u8>);

/// Checks a certificate alone, as a node does before any state is looked at.
pub(super) fn validate(message: &MsgCreateCertificate) -> Result<x509::X509, Refusal> {
    let owner = text::address(&message.owner)?;
    x509::read(&owner, &message.cert, &message.pubkey).map_err(|error| match error {
        X509Error::Certificate => cert::INVALID_CERTIFICATE.into(),
        X509Error::PublicKey => cert::INVALID_PUBKEY.into(),
        other => Refusal::unregistered(other),
    })
}

/// Checks the id of a certificate alone.
pub(super) fn validate_id(message: &MsgRevokeCertificate) -> Result<Key, Refusal> {
    let owner = text::address(&message.id.owner)?;
    key(&owner, &message.id.serial).ok_or_else(|| cert::INVALID_SERIAL.into())
}

fn key(owner: &Address, serial: &str) -> Option<Key> {
    let digits = !serial.is_empty() && serial.bytes().all(|byte| byte.is_ascii_digit());
    let serial: ruint::aliases::U256 = serial.parse().ok().filter(|_| digits)?;
    let bytes = serial.to_be_bytes_trimmed_vec();
    let length = u8::try_from(bytes.len()).ok()?;
    Some((owner.to_bytes(), [vec![length], bytes].concat()))
}

impl Execution<'_> {
    pub(super) fn create_certificate(
        &mut self,
        message: MsgCreateCertificate,
    ) -> Result<(), Refusal> {
        let read = validate(&message)?;
        let key = key(&read.owner, &read.serial).ok_or(cert::INVALID_SERIAL)?;
        if self.state.certificates.contains_key(&key) {
            return Err(cert::EXISTS.into());
        }
        self.gas.burn(gas::CERTIFICATE)?;
        let MsgCreateCertificate { cert, pubkey, .. } = message;
        let certificate = Certificate { state: State::Valid.into(), cert, pubkey };
        let row = CertificateResponse { certificate, serial: read.serial };
        self.state.certificates.insert_mut(key, row);
        Ok(())
    }

    pub(super) fn revoke_certificate(
        &mut self,
        message: &MsgRevokeCertificate,
    ) -> Result<(), Refusal> {
        let key = validate_id(message)?;
        let mut row = self.state.certificates.get(&key).cloned().ok_or(cert::NOT_FOUND)?;
        if row.certificate.state() == State::Revoked {
            return Err(cert::ALREADY_REVOKED.into());
        }
        self.gas.burn(gas::CERTIFICATE)?;
        row.certificate.state = State::Revoked.into();
        self.state.certificates.insert_mut(key, row);
        Ok(())
    }
}

/// The number of a state's text in a filter.
pub(super) fn state(text: &str) -> Option<i32> {
    match text {
        "valid" => Some(State::Valid.into()),
        "revoked" => Some(State::Revoked.into()),
        _ => None,
    }
}

/// Whether a filter wants the certificate under `key`.
pub(super) fn is_wanted(filter: &CertificateFilter, key: &Key, row: &CertificateResponse) -> bool {
    let owner = filter.owner.is_empty()
        || filter.owner.parse::<Address>().is_ok_and(|owner| owner.to_bytes() == key.0);
    owner && (filter.serial.is_empty() || filter.serial == row.serial)
}

/// Where a certificate stands among those of its state.
pub(super) fn listed(key: &Key) -> Vec<u8> {
    let length = u8::try_from(key.0.len()).unwrap_or(u8::MAX);
    [&[length], key.0.as_slice(), key.1.as_slice()].concat()
}
