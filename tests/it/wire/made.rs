//! What a provider sends, made anew from the nouns of a recorded message: the same bytes as the chain's own tools wrote.

use std::collections::BTreeMap;

use lessor::{
    domain::{self, Certificate, CertificateState, CloseReason, Payment, PaymentState},
    wire::{
        base::Source,
        cert::{self, MsgCreateCertificate, MsgRevokeCertificate},
        cosmos::{TxBody, TxRaw},
        deployment::MsgUpdateDeployment,
        google::Any,
        market::{
            MsgCloseBid, MsgCloseLease, MsgCreateBid, MsgCreateLease, MsgLeaseStartReclaim,
            MsgWithdrawLease, QueryLeaseResponse, QueryLeasesResponse,
        },
        provider::{MsgCreateProvider, MsgDeleteProvider, MsgUpdateProvider, Provider},
        x509::{self, X509Error},
    },
};
use prost::{Message, Name};
use serde_json::Value;

use super::{bytes_at, text_at};
use crate::corpus;

fn registered(owner: String, rest: &MsgUpdateProvider) -> domain::Provider {
    let MsgUpdateProvider { host_uri, attributes, info, .. } = rest.clone();
    Provider { owner, host_uri, attributes, info }.try_into().unwrap()
}

/// The same message made by lessor; `None` for a type that a provider does not send, or an offer with prices.
fn again(found: &Any) -> Option<Any> {
    let reason = |number| CloseReason::from_number(number);
    let made = match found.type_url.strip_prefix('/')? {
        name if name == MsgCreateBid::full_name() => {
            let found: MsgCreateBid = found.unpack().unwrap();
            // Some tools name grants as a second source of the deposit.
            if found.deposit.sources().collect::<Vec<_>>() != [Source::Balance] {
                return None;
            }
            let offer: Vec<domain::ResourceUnit> = found
                .resources_offer
                .iter()
                .map(|offer| domain::ResourceUnit {
                    resources: offer.resources.clone().try_into().unwrap(),
                    count: offer.count,
                    price: found.price.clone().try_into().unwrap(),
                })
                .collect();
            Any::pack(&MsgCreateBid::new(
                &found.id.clone().try_into().ok()?,
                &found.price.try_into().unwrap(),
                &found.deposit.amount.try_into().unwrap(),
                &offer,
                found.reclamation_window.map(|window| window.seconds.try_into().unwrap()),
            ))
        }
        name if name == MsgCloseBid::full_name() => {
            let found: MsgCloseBid = found.unpack().unwrap();
            Any::pack(&MsgCloseBid::new(&found.id.try_into().ok()?, reason(found.reason)?))
        }
        name if name == MsgCreateLease::full_name() => {
            let found: MsgCreateLease = found.unpack().unwrap();
            Any::pack(&MsgCreateLease::new(&found.bid_id.try_into().ok()?))
        }
        name if name == MsgWithdrawLease::full_name() => {
            let found: MsgWithdrawLease = found.unpack().unwrap();
            Any::pack(&MsgWithdrawLease::new(&found.id.try_into().ok()?))
        }
        name if name == MsgCloseLease::full_name() => {
            let found: MsgCloseLease = found.unpack().unwrap();
            Any::pack(&MsgCloseLease::new(&found.id.try_into().ok()?))
        }
        name if name == MsgLeaseStartReclaim::full_name() => {
            let found: MsgLeaseStartReclaim = found.unpack().unwrap();
            Any::pack(&MsgLeaseStartReclaim::new(&found.id.try_into().ok()?, reason(found.reason)?))
        }
        name if name == MsgUpdateDeployment::full_name() => {
            let found: MsgUpdateDeployment = found.unpack().unwrap();
            let hash = found.hash.as_slice().try_into().unwrap();
            Any::pack(&MsgUpdateDeployment::new(&found.id.try_into().unwrap(), hash))
        }
        name if name == MsgCreateProvider::full_name() => {
            let found: MsgUpdateProvider = Message::decode(found.value.as_slice()).unwrap();
            Any::pack(&MsgCreateProvider::new(&registered(found.owner.clone(), &found)))
        }
        name if name == MsgUpdateProvider::full_name() => {
            let found: MsgUpdateProvider = found.unpack().unwrap();
            Any::pack(&MsgUpdateProvider::new(&registered(found.owner.clone(), &found)))
        }
        name if name == MsgDeleteProvider::full_name() => {
            let found: MsgDeleteProvider = found.unpack().unwrap();
            Any::pack(&MsgDeleteProvider::new(&found.owner.parse().unwrap()))
        }
        name if name == MsgCreateCertificate::full_name() => {
            let found: MsgCreateCertificate = found.unpack().unwrap();
            let (owner, text) = (found.owner.parse().unwrap(), |bytes| String::from_utf8(bytes));
            let (cert, pubkey) = (text(found.cert).unwrap(), text(found.pubkey).unwrap());
            Any::pack(&MsgCreateCertificate::new(&owner, &cert, &pubkey))
        }
        name if name == MsgRevokeCertificate::full_name() => {
            let found: MsgRevokeCertificate = found.unpack().unwrap();
            Any::pack(&MsgRevokeCertificate::new(
                &found.id.owner.parse().unwrap(),
                &found.id.serial,
            ))
        }
        _ => return None,
    };
    Some(made)
}

#[test]
fn what_a_provider_sends_is_made_to_the_byte_as_it_was_recorded() {
    let Some(chain) = corpus::find("vectors/chain") else { return };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut others: BTreeMap<String, usize> = BTreeMap::new();
    for (folder, pointer) in [("tx", "/result/tx"), ("tx_errors", "/request_tx_b64")] {
        for (name, json) in corpus::json_files(&chain.join(folder)) {
            let body = bytes_at(&json, pointer)
                .and_then(|tx| TxRaw::decode(tx.as_slice()).ok())
                .and_then(|raw| TxBody::decode(raw.body_bytes.as_slice()).ok());
            for found in body.into_iter().flat_map(|body| body.messages) {
                let Some(made) = again(&found) else {
                    *others.entry(found.type_url).or_default() += 1;
                    continue;
                };
                assert_eq!(made, found, "{folder}/{name}");
                *counts.entry(made.type_url).or_default() += 1;
            }
        }
    }
    println!("made again: {counts:#?}, of others or malformed on purpose: {others:?}");
    assert_eq!(counts.len(), 12, "every type that a provider sends is recorded");
}

fn leases(chain: &std::path::Path, name: &str) -> Vec<QueryLeaseResponse> {
    let json = corpus::json(&chain.join(format!("query/{name}.json")));
    let bytes = bytes_at(&json, "/abci_response_b64").unwrap();
    QueryLeasesResponse::decode(bytes.as_slice()).unwrap().leases
}

#[test]
fn every_recorded_payment_reads_and_says_what_it_has_earned() {
    let Some(chain) = corpus::find("vectors/chain") else { return };
    let read = |answer| Payment::try_from(answer).unwrap();
    let all: Vec<Payment> = leases(&chain, "leases_own_all").into_iter().map(read).collect();
    println!("{} payments", all.len());
    assert!(all.iter().any(|payment| payment.state == PaymentState::Overdrawn));
    for payment in leases(&chain, "leases_own_active").into_iter().map(read) {
        assert_eq!(payment.state, PaymentState::Open);
        assert!(!payment.is_left_open(), "{payment:?}");
    }
}

#[test]
fn every_recorded_certificate_reads_as_the_chain_holds_it() {
    let Some(chain) = corpus::find("vectors/chain") else { return };
    let json = corpus::json(&chain.join("query/certs_owner_all_states.json"));
    let bytes = bytes_at(&json, "/abci_response_b64").unwrap();
    let answer = cert::QueryCertificatesResponse::decode(bytes.as_slice()).unwrap();
    let read: Vec<Certificate> =
        answer.certificates.into_iter().map(|found| found.try_into().unwrap()).collect();
    let states: Vec<CertificateState> = read.iter().map(|found| found.state).collect();
    assert_eq!(states, [CertificateState::Valid, CertificateState::Revoked]);
    let owner = text_at(&json, "/request/filter/owner").parse().unwrap();
    for found in read {
        let (text, key) = (found.certificate.as_bytes(), found.public_key.as_bytes());
        assert_eq!(x509::read(&owner, text, key).unwrap().serial, found.serial);
    }
}

#[test]
fn a_certificate_is_refused_with_the_chains_own_words() {
    let Some(path) = corpus::find("vectors/chain/certs/vectors.json") else { return };
    let json = corpus::json(&path);
    let certificates: Vec<&Value> = json["certificates"].as_array().unwrap().iter().collect();
    let of = |at: usize, name: &str| text_at(certificates[at], name).as_bytes();
    let owner: domain::Address = text_at(certificates[0], "/owner").parse().unwrap();
    let other: domain::Address = text_at(certificates[1], "/owner").parse().unwrap();
    let (cert, key) = (of(0, "/chain_cert_text"), of(0, "/chain_pubkey_text"));
    for (at, found) in certificates.iter().enumerate() {
        let owner = text_at(found, "/owner").parse().unwrap();
        let read =
            x509::read(&owner, of(at, "/chain_cert_text"), of(at, "/chain_pubkey_text")).unwrap();
        assert_eq!(read.serial, text_at(found, "/serial_decimal"));
        assert_eq!(read.not_after.to_string(), text_at(found, "/not_after").replace("+00:00", "Z"));
    }
    let refused = |owner, cert, key| x509::read(owner, cert, key).unwrap_err();
    assert_eq!(refused(&other, cert, key), X509Error::Owner);
    assert_eq!(refused(&owner, cert, of(1, "/chain_pubkey_text")), X509Error::Signature);
    assert_eq!(refused(&owner, cert, of(0, "/public_key_spki_pem")), X509Error::PublicKeyLabel);
    assert_eq!(refused(&owner, b"garbage", key), X509Error::Certificate);
    assert_eq!(refused(&owner, key, key), X509Error::CertificateLabel);
    assert_eq!(refused(&owner, &vec![b'-'; x509::MAX_BYTES + 1], key), X509Error::Certificate);
    println!("{} certificates", certificates.len());
}
