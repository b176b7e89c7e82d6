//! The walk of a deployment: create, wait for bids, take them, upload the manifest, wait until it runs.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, Interval, interval};

use super::{Error, Tenant, Terms, token};
use crate::{
    domain::{
        Address, Bid, BidState, DeploymentId, GroupSpec, Lease, LeaseId, Order, OrderId, OrderState,
    },
    manifest::{self, Compiled},
    wire::{deployment, google::Any, market},
};

/// How often chain and gateway are asked while something is waited for.
const PACE: Duration = Duration::from_millis(150);
/// So many neighbours of a taken `dseq` are tried.
const DSEQ_TRIES: u64 = 100;

/// One step of the walk, as it is printed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "step")]
#[expect(missing_docs, reason = "the fields are what their names say")]
pub enum Step {
    /// The deployment is on chain.
    Deployment { owner: String, dseq: u64, hash: String, transaction: String, height: u64 },
    /// The chain made an order for a group.
    Order { order: String, group: String },
    /// A provider bid.
    Bid { order: String, provider: String, price: String, denom: String, why: Option<String> },
    /// The bid was taken.
    Lease { lease: String, transaction: String, height: u64 },
    /// The provider took the manifest.
    Manifest { lease: String, hash: String },
    /// The deployment's hash on chain was changed.
    Update { dseq: u64, hash: String, transaction: String, height: u64 },
    /// Everything runs.
    Ready { dseq: u64, services: Vec<Service> },
    /// The deployment was closed.
    Closed { dseq: u64, transaction: String, height: u64 },
}

/// A service that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields are what their names say")]
pub struct Service {
    pub name: String,
    pub ready: u64,
    pub total: u64,
    pub addresses: Vec<String>,
}

/// Takes steps as they are done.
pub type Observer<'a> = &'a mut (dyn FnMut(Step) + Send);

fn pace() -> Interval {
    interval(PACE)
}

impl Tenant {
    /// Deploys a document: returns when everything is ready.
    ///
    /// # Errors
    /// [`Error::NoBid`] when nobody bid in time; every other variant with its reason.
    pub async fn deploy(
        &self,
        document: &str,
        dseq: Option<u64>,
        terms: &Terms,
        observe: Observer<'_>,
    ) -> Result<DeploymentId, Error> {
        let mut compiled = self.compile(document)?;
        if let Some(denom) = &terms.denom {
            // Prices stand in the groups only, so the manifest and its hash stay what they are.
            let units = compiled.groups.iter_mut().flat_map(|group| &mut group.units);
            units.for_each(|unit| unit.price.denom = denom.clone());
        }
        let provider = self.provider(terms).await?;
        let id = self.create(&compiled, dseq, terms, observe).await?;
        let leases = self.take_bids(&id, &provider, terms.bid_wait, observe).await?;
        self.upload(&compiled, &leases, observe).await?;
        self.wait_until_ready(&id, &leases, &compiled, terms.ready_wait, observe).await?;
        Ok(id)
    }

    /// Changes what a deployment runs: announces the new hash and uploads the new manifest. A document that does not fit
    /// what was ordered is refused before anything is announced: with the hash of a manifest that nobody takes, a
    /// deployment could not be moved to another node or restarted any more.
    ///
    /// # Errors
    /// [`Error::Update`] when the document does not fit; else as [`Tenant::deploy`].
    pub async fn update(
        &self,
        dseq: u64,
        document: &str,
        ready_wait: Duration,
        observe: Observer<'_>,
    ) -> Result<(), Error> {
        let compiled = self.compile(document)?;
        let id = self.deployment(dseq);
        let leases = self.running_leases(&id).await?;
        let there = self.node.deployment(&id).await?;
        let there = there.ok_or_else(|| Error::Absent(format!("there is no deployment {id}")))?;
        let ordered: Vec<GroupSpec> = there.groups.into_iter().map(|group| group.spec).collect();
        let violations = compiled.manifest.check_against(&ordered);
        if !violations.is_empty() {
            return Err(Error::Update(violations));
        }
        let message = deployment::MsgUpdateDeployment::new(&id, &compiled.hash);
        let sent = self.send("the update", vec![Any::pack(&message)]).await?;
        observe(Step::Update {
            dseq,
            hash: hex(&compiled.hash),
            transaction: sent.hash,
            height: sent.height.0,
        });
        self.upload(&compiled, &leases, observe).await?;
        self.wait_until_ready(&id, &leases, &compiled, ready_wait, observe).await
    }

    /// Reads a document. What chain or provider would refuse is refused before anything is paid for.
    fn compile(&self, document: &str) -> Result<Compiled, Error> {
        let compiled = manifest::compile(document, self.dialect).map_err(Error::Document)?;
        if compiled.warnings.is_empty() {
            Ok(compiled)
        } else {
            Err(Error::Document(compiled.warnings))
        }
    }

    /// Closes a deployment.
    ///
    /// # Errors
    /// [`Error::Chain`], [`Error::Unreachable`].
    pub async fn close(&self, dseq: u64, observe: Observer<'_>) -> Result<(), Error> {
        let message = deployment::MsgCloseDeployment::new(&self.deployment(dseq));
        let sent = self.send("the closing", vec![Any::pack(&message)]).await?;
        observe(Step::Closed { dseq, transaction: sent.hash, height: sent.height.0 });
        Ok(())
    }

    /// The leases of a deployment that run.
    ///
    /// # Errors
    /// [`Error::Absent`] when there are none.
    pub async fn running_leases(&self, id: &DeploymentId) -> Result<Vec<LeaseId>, Error> {
        let leases: Vec<Lease> = self.node.leases(id).await?;
        let running: Vec<LeaseId> = leases
            .into_iter()
            .filter(|lease| lease.state.is_running())
            .map(|lease| lease.id)
            .collect();
        if running.is_empty() {
            return Err(Error::Absent(format!("deployment {id} has no running lease")));
        }
        Ok(running)
    }

    async fn create(
        &self,
        compiled: &Compiled,
        wanted: Option<u64>,
        terms: &Terms,
        observe: Observer<'_>,
    ) -> Result<DeploymentId, Error> {
        let first = match wanted {
            Some(dseq) => dseq,
            None => self.node.status().await?.sync_info.latest_block_height,
        };
        let mut dseq = first;
        let id = loop {
            let id = self.deployment(dseq);
            if self.node.deployment(&id).await?.is_none() {
                break id;
            }
            if wanted.is_some() || dseq >= first + DSEQ_TRIES {
                return Err(Error::Chain {
                    doing: "the deployment",
                    detail: format!("{id} exists already"),
                });
            }
            dseq += 1;
        };
        let message = deployment::MsgCreateDeployment::new(
            &id,
            &compiled.groups,
            &compiled.hash,
            &terms.deposit,
            compiled.reclamation.map(|window| window.as_secs()),
        );
        let sent = self.send("the deployment", vec![Any::pack(&message)]).await?;
        observe(Step::Deployment {
            owner: id.owner.to_string(),
            dseq: id.dseq,
            hash: hex(&compiled.hash),
            transaction: sent.hash,
            height: sent.height.0,
        });
        Ok(id)
    }

    /// Whose bids count: the manifest goes to this gateway, so no other provider could run it.
    async fn provider(&self, terms: &Terms) -> Result<Address, Error> {
        let there = self.gateway.provider().await?;
        match &terms.provider {
            Some(wanted) if *wanted != there => Err(Error::OtherProvider {
                url: self.gateway.url().to_owned(),
                there,
                wanted: wanted.clone(),
            }),
            _ => Ok(there),
        }
    }

    async fn take_bids(
        &self,
        id: &DeploymentId,
        provider: &Address,
        wait: Duration,
        observe: Observer<'_>,
    ) -> Result<Vec<LeaseId>, Error> {
        let orders: Vec<Order> = self
            .node
            .orders(id)
            .await?
            .into_iter()
            .filter(|order| order.state == OrderState::Open)
            .collect();
        for order in &orders {
            observe(Step::Order { order: order.id.to_string(), group: order.spec.name.clone() });
        }
        let chosen = self.wait_for_bids(id, &orders, provider, wait).await?;
        for bid in chosen.values() {
            let token = token::sign(&self.key, &bid.id.provider, (self.now)());
            observe(Step::Bid {
                order: bid.id.order.to_string(),
                provider: bid.id.provider.to_string(),
                price: bid.price.amount.to_string(),
                denom: bid.price.denom.to_string(),
                why: self.gateway.decision(&bid.id.order, &token).await.ok(),
            });
        }
        let messages =
            chosen.values().map(|bid| Any::pack(&market::MsgCreateLease::new(&bid.id))).collect();
        let sent = self.send("the lease", messages).await?;
        let leases: Vec<LeaseId> = chosen.into_values().map(|bid| bid.id.lease()).collect();
        for lease in &leases {
            observe(Step::Lease {
                lease: lease.to_string(),
                transaction: sent.hash.clone(),
                height: sent.height.0,
            });
        }
        Ok(leases)
    }

    /// The provider's open bid on every order, once each has one.
    async fn wait_for_bids(
        &self,
        id: &DeploymentId,
        orders: &[Order],
        provider: &Address,
        wait: Duration,
    ) -> Result<BTreeMap<OrderId, Bid>, Error> {
        let give_up = Instant::now() + wait;
        let mut pace = pace();
        loop {
            pace.tick().await;
            let open = self.node.bids(id).await?.into_iter();
            let (ours, others): (Vec<Bid>, Vec<Bid>) = open
                .filter(|bid| bid.state == BidState::Open)
                .partition(|bid| bid.id.provider == *provider);
            let taken: BTreeMap<OrderId, Bid> =
                ours.into_iter().map(|bid| (bid.id.order.clone(), bid)).collect();
            let Some(missing) = orders.iter().find(|order| !taken.contains_key(&order.id)) else {
                return Ok(taken);
            };
            if Instant::now() >= give_up {
                let token = token::sign(&self.key, provider, (self.now)());
                let others = others.into_iter().filter(|bid| bid.id.order == missing.id);
                return Err(Error::NoBid {
                    order: missing.id.to_string(),
                    provider: provider.clone(),
                    others: others.map(|bid| bid.id.provider).collect(),
                    why: self.gateway.decision(&missing.id, &token).await.ok(),
                });
            }
        }
    }

    /// Uploads the manifest once to each provider; the lease may not be seen there yet, which is waited for.
    async fn upload(
        &self,
        compiled: &Compiled,
        leases: &[LeaseId],
        observe: Observer<'_>,
    ) -> Result<(), Error> {
        let give_up = Instant::now() + Duration::from_secs(30);
        let mut sent_to = Vec::new();
        for lease in leases {
            if !sent_to.contains(&&lease.provider) {
                let mut pace = pace();
                loop {
                    pace.tick().await;
                    let token = token::sign(&self.key, &lease.provider, (self.now)());
                    let dseq = lease.order.dseq();
                    match self.gateway.put_manifest(dseq, compiled.manifest.to_json(), &token).await
                    {
                        Ok(()) => break,
                        Err(Error::Gateway { status: 404 | 503, .. })
                            if Instant::now() < give_up => {}
                        Err(error) => return Err(error),
                    }
                }
                sent_to.push(&lease.provider);
            }
            observe(Step::Manifest { lease: lease.to_string(), hash: hex(&compiled.hash) });
        }
        Ok(())
    }

    async fn wait_until_ready(
        &self,
        id: &DeploymentId,
        leases: &[LeaseId],
        compiled: &Compiled,
        wait: Duration,
        observe: Observer<'_>,
    ) -> Result<(), Error> {
        let give_up = Instant::now() + wait;
        let wanted = hex(&compiled.hash);
        let mut pace = pace();
        loop {
            pace.tick().await;
            let mut services = Vec::new();
            let mut pending = Vec::new();
            for lease in leases {
                let token = token::sign(&self.key, &lease.provider, (self.now)());
                match self.gateway.lease_status(lease, &token).await {
                    Ok(status) => read_services(&status, &mut services),
                    Err(Error::Gateway { status: 404 | 503, detail, .. }) => pending.push(detail),
                    Err(error) => return Err(error),
                }
                if let Some(reason) = self.gateway.behind(lease, &wanted, &token).await? {
                    pending.push(reason);
                }
            }
            pending.extend(services.iter().filter(|service| service.ready < service.total).map(
                |service| format!("{}: {} of {} ready", service.name, service.ready, service.total),
            ));
            if pending.is_empty() && !services.is_empty() {
                observe(Step::Ready { dseq: id.dseq, services });
                return Ok(());
            }
            if Instant::now() >= give_up {
                return Err(Error::NotReady(pending.join("\n")));
            }
        }
    }
}

/// The services in an answer of today's status route.
fn read_services(status: &Value, into: &mut Vec<Service>) {
    let number = |service: &Value, key: &str| service.get(key).and_then(Value::as_u64).unwrap_or(0);
    let Some(services) = status.get("services").and_then(Value::as_object) else { return };
    for (name, service) in services {
        let uris = service.get("uris").and_then(Value::as_array);
        let mut addresses: Vec<String> = uris
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(|host| format!("http://{host}"))
            .collect();
        let ports = status
            .get("forwarded_ports")
            .and_then(|ports| ports.get(name))
            .and_then(Value::as_array);
        for port in ports.into_iter().flatten() {
            let host = port.get("host").and_then(Value::as_str).unwrap_or_default();
            addresses.push(format!("{host}:{}", number(port, "externalPort")));
        }
        into.push(Service {
            name: name.clone(),
            ready: number(service, "available"),
            total: number(service, "total"),
            addresses,
        });
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
