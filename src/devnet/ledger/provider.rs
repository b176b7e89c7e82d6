//! Providers and what auditors signed of them. Owns their messages; in this version of the chain an update is not
//! compared with the provider's leases, and a provider cannot be deleted.

use super::{
    execution::{Execution, gas},
    refusal::{Refusal, provider},
    text,
};
use crate::wire;

impl Execution<'_> {
    pub(super) fn create_provider(
        &mut self,
        message: wire::provider::MsgCreateProvider,
    ) -> Result<(), Refusal> {
        let key = text::address(&message.owner)?.to_bytes();
        if self.state.providers.contains_key(&key) {
            return Err(provider::EXISTS.because(format_args!("id: {}", message.owner)));
        }
        self.put_provider(
            key,
            wire::provider::Provider {
                owner: message.owner,
                host_uri: message.host_uri,
                attributes: message.attributes,
                info: message.info,
            },
            "Created",
        )
    }

    pub(super) fn update_provider(
        &mut self,
        message: wire::provider::MsgUpdateProvider,
    ) -> Result<(), Refusal> {
        let key = text::address(&message.owner)?.to_bytes();
        if !self.state.providers.contains_key(&key) {
            return Err(provider::NOT_FOUND.because(format_args!("id: {}", message.owner)));
        }
        self.put_provider(
            key,
            wire::provider::Provider {
                owner: message.owner,
                host_uri: message.host_uri,
                attributes: message.attributes,
                info: message.info,
            },
            "Updated",
        )
    }

    fn put_provider(
        &mut self,
        key: Vec<u8>,
        row: wire::provider::Provider,
        event: &str,
    ) -> Result<(), Refusal> {
        self.gas.burn(gas::NEW_ROW)?;
        let owner = format!("\"{}\"", row.owner);
        self.state.providers.insert_mut(key, row);
        self.emit(format!("akash.provider.v1beta4.EventProvider{event}"), &[("owner", &owner)]);
        Ok(())
    }

    /// Adds to what an auditor signed; a key that was signed before takes the new value.
    pub(super) fn sign_attributes(
        &mut self,
        message: wire::audit::MsgSignProviderAttributes,
    ) -> Result<(), Refusal> {
        let key = (
            text::address(&message.owner)?.to_bytes(),
            text::address(&message.auditor)?.to_bytes(),
        );
        let signed_before = self.state.audits.contains_key(&key);
        self.gas.burn(if signed_before { gas::AUDIT } else { gas::NEW_ROW })?;
        let mut record =
            self.state.audits.get(&key).cloned().unwrap_or_else(|| wire::audit::AuditedProvider {
                owner: message.owner,
                auditor: message.auditor,
                attributes: Vec::new(),
            });
        for attribute in message.attributes {
            match record.attributes.iter_mut().find(|known| known.key == attribute.key) {
                Some(known) => known.value = attribute.value,
                None => record.attributes.push(attribute),
            }
        }
        record.attributes.sort_by(|a, b| a.key.cmp(&b.key));
        self.emit_audit("Created", &record);
        self.state.audits.insert_mut(key, record);
        Ok(())
    }

    /// Takes back the given keys, or all when none are given.
    pub(super) fn delete_attributes(
        &mut self,
        message: &wire::audit::MsgDeleteProviderAttributes,
    ) -> Result<(), Refusal> {
        self.gas.burn(gas::AUDIT)?;
        let key = (
            text::address(&message.owner)?.to_bytes(),
            text::address(&message.auditor)?.to_bytes(),
        );
        let mut record = self.state.audits.get(&key).cloned().ok_or(provider::NOT_FOUND)?;
        self.emit_audit("Deleted", &record);
        record
            .attributes
            .retain(|known| !message.keys.is_empty() && !message.keys.contains(&known.key));
        if record.attributes.is_empty() {
            self.state.audits.remove_mut(&key);
        } else {
            self.state.audits.insert_mut(key, record);
        }
        Ok(())
    }

    fn emit_audit(&mut self, event: &str, record: &wire::audit::AuditedProvider) {
        let (auditor, owner) = (format!("\"{}\"", record.auditor), format!("\"{}\"", record.owner));
        self.emit(
            format!("akash.audit.v1.EventTrustedAuditor{event}"),
            &[("auditor", &auditor), ("owner", &owner)],
        );
    }
}
