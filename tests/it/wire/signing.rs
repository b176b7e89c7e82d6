//! Keys, sign bytes, signatures and hashes against transactions that a real chain accepted.

use jiff::Timestamp;
use lessor::{
    domain::Height,
    wire::{
        google::Any,
        key::{PublicKey, SecretKey, SignatureError},
        tx::{self, Draft, Sequencing, Tx, TxError},
    },
};
use serde_json::Value;

use super::{bytes_at, text_at};
use crate::corpus;

fn number(json: &Value, pointer: &str) -> u64 {
    json.pointer(pointer).and_then(Value::as_u64).unwrap()
}

fn draft(vector: &Value) -> Draft {
    let messages = vector["messages"].as_array().unwrap();
    let sequencing = if vector["unordered"].as_bool().unwrap() {
        let timeout: Timestamp = text_at(vector, "/timeout_timestamp").parse().unwrap();
        Sequencing::Unordered { timeout }
    } else {
        let timeout = match number(vector, "/timeout_height") {
            0 => None,
            height => Some(Height(height)),
        };
        Sequencing::Ordered { sequence: number(vector, "/sequence"), timeout }
    };
    Draft {
        messages: messages
            .iter()
            .map(|message| Any {
                type_url: text_at(message, "/type_url").to_owned(),
                value: bytes_at(message, "/value_b64").unwrap(),
            })
            .collect(),
        memo: text_at(vector, "/memo").to_owned(),
        sequencing,
        fee: serde_json::from_value(vector["fee"].clone()).unwrap(),
        gas_limit: number(vector, "/gas_limit"),
    }
}

#[test]
fn every_signing_vector_comes_out_to_the_byte() {
    let Some(path) = corpus::find("vectors/chain/signing/vectors.json") else { return };
    let mut count = 0;
    for account in corpus::json(&path)["vectors"].as_array().unwrap() {
        let key = SecretKey::from_mnemonic(&text_at(account, "/mnemonic").into(), 0).unwrap();
        let raw = SecretKey::from_hex(&text_at(account, "/private_key_hex").into()).unwrap();
        let public = key.public_key();
        assert_eq!(raw.public_key(), public);
        assert_eq!(
            public.as_bytes().to_vec(),
            bytes_at(account, "/pubkey_compressed_b64").unwrap()
        );
        assert_eq!(public.address().as_str(), text_at(account, "/address"));
        for vector in account["txs"].as_array().unwrap() {
            let name = text_at(vector, "/name");
            let chain = text_at(vector, "/chain_id");
            let number = number(vector, "/account_number");
            let unsigned = draft(vector).unsigned(public);
            let sign_doc = unsigned.sign_doc(chain, number);
            assert_eq!(sign_doc, bytes_at(vector, "/sign_doc_bytes_b64").unwrap(), "{name}");
            let signature = key.sign(&sign_doc);
            assert_eq!(signature.to_vec(), bytes_at(vector, "/signature_b64").unwrap(), "{name}");
            let bytes = unsigned.with_signature(&signature);
            assert_eq!(bytes, bytes_at(vector, "/tx_bytes_b64").unwrap(), "{name}");
            assert_eq!(tx::hash(&bytes), text_at(vector, "/tx_hash"), "{name}");

            let decoded = Tx::decode(&bytes).unwrap();
            assert_eq!(decoded.verify(chain, number).as_ref(), Ok(public), "{name}");
            let wrong = Err(TxError::Signature(SignatureError::Wrong));
            assert_eq!(decoded.verify("other", number), wrong, "{name}");
            assert_eq!(decoded.verify(chain, number + 1), wrong, "{name}");
            count += 1;
        }
    }
    println!("{count} signing vectors");
    assert_eq!(count, 27);
}

#[test]
fn a_mnemonic_gives_one_account_for_each_index() {
    // The public mnemonic of the chain's own development setup.
    let words = "wild random elephant refuse clock effort menu barely broccoli team mind magnet pretty fashion fame \
                 category turtle rug exclude card view civil purity powder";
    for (index, address) in [
        (0, "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww"),
        (1, "akash18tdthhtcvfmzl60r0r6gvjdcelc0wtwfumqsdz"),
        (3, "akash166clkmu6yh7wjpdma0kg8t7wz97vcjx7fpl23w"),
    ] {
        let key = SecretKey::from_mnemonic(&words.into(), index).unwrap();
        assert_eq!(key.public_key().address().as_str(), address);
        let packed = key.public_key().to_any();
        assert_eq!(PublicKey::from_any(&packed).as_ref(), Ok(key.public_key()));
    }
}

#[test]
fn every_recorded_transaction_names_the_hash_that_the_node_gave_it() {
    let Some(folder) = corpus::find("vectors/chain/tx") else { return };
    let transactions = corpus::json_files(&folder);
    for (name, json) in &transactions {
        let bytes = bytes_at(json, "/result/tx").unwrap();
        assert_eq!(tx::hash(&bytes), text_at(json, "/result/hash"), "{name}");
    }
    println!("{} hashes", transactions.len());
    assert!(transactions.len() > 100);
}
