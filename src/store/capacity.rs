//! What all subjects share: reservations with their version, hostnames; and the manifests that claim them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::{
    FromRow, SqliteConnection, query, query_as, query_scalar,
    types::{Json, Text},
};

use super::{
    columns::{Micros, unsigned},
    error::Failure,
    open::Sqlite,
    reading::append_audit,
    reseal::manifest_row,
    seal::Seal,
    sql,
    subjects::wake_all,
};
use crate::{
    bidengine::Placement,
    domain::{Address, DeploymentId, LeaseId, OrderId},
    provider::port::{
        AuditLine, Commit, HostnameClaim, HostnamesMoved, ManifestRow, ManifestStored, Reservation,
        Reservations, Subject,
    },
};

#[derive(FromRow)]
struct ReservationRow {
    order_id: Text<OrderId>,
    placement: Json<Placement>,
    reason: String,
    made_at: Micros,
    look_at: Micros,
    leased: bool,
    applied_at: Option<Micros>,
}

impl From<ReservationRow> for Reservation {
    fn from(row: ReservationRow) -> Self {
        Self {
            order: row.order_id.0,
            placement: row.placement.0,
            reason: row.reason,
            made_at: row.made_at.0,
            look_at: row.look_at.0,
            leased: row.leased,
            applied_at: row.applied_at.map(|Micros(at)| at),
        }
    }
}

pub(super) async fn reservations(
    connection: &mut SqliteConnection,
) -> Result<Reservations, Failure> {
    let version: i64 = query_scalar(sql::RESERVATIONS_VERSION).fetch_one(&mut *connection).await?;
    let held: Vec<ReservationRow> = query_as(sql::RESERVATIONS).fetch_all(&mut *connection).await?;
    Ok(Reservations {
        version: unsigned(version),
        held: held.into_iter().map(Reservation::from).collect(),
    })
}

/// The reservations, when they are others than those of this version.
pub(super) async fn reservations_unless(
    connection: &mut SqliteConnection,
    version: u64,
) -> Result<Option<Reservations>, Failure> {
    let current: i64 = query_scalar(sql::RESERVATIONS_VERSION).fetch_one(&mut *connection).await?;
    if unsigned(current) == version {
        return Ok(None);
    }
    reservations(connection).await.map(Some)
}

/// The reservations as they are, when the commit reserves on others.
pub(super) async fn capacity_changed(
    connection: &mut SqliteConnection,
    commit: &Commit,
) -> Result<Option<Reservations>, Failure> {
    if commit.reserve.is_empty() {
        return Ok(None);
    }
    let Some(computed_on) = commit.reservations_version else {
        return Err(Failure::Request(
            "a reservation needs the version of the reservations that it was computed on"
                .to_owned(),
        ));
    };
    reservations_unless(connection, computed_on).await
}

async fn reserve(
    connection: &mut SqliteConnection,
    reservation: &Reservation,
) -> Result<u64, Failure> {
    let written = query(sql::RESERVE)
        .bind(Text(&reservation.order))
        .bind(Json(&reservation.placement))
        .bind(&reservation.reason)
        .bind(Micros(reservation.made_at))
        .bind(Micros(reservation.look_at))
        .bind(reservation.leased)
        .bind(reservation.applied_at.map(Micros))
        .execute(connection)
        .await?;
    Ok(written.rows_affected())
}

/// Releases, reserves and marks, and raises the version if any row changed: each of these changes what placement sees.
pub(super) async fn change_reservations(
    connection: &mut SqliteConnection,
    commit: &Commit,
) -> Result<(), Failure> {
    let mut changed = 0;
    if !commit.release.is_empty() {
        changed += query(sql::RELEASE_RESERVATIONS)
            .bind(Json(&commit.release))
            .execute(&mut *connection)
            .await?
            .rows_affected();
    }
    for reservation in &commit.reserve {
        changed += reserve(connection, reservation).await?;
    }
    if !commit.leased.is_empty() {
        changed += query(sql::MARK_LEASED)
            .bind(Json(&commit.leased))
            .execute(&mut *connection)
            .await?
            .rows_affected();
    }
    for (order, at) in &commit.applied {
        changed += query(sql::MARK_APPLIED)
            .bind(Text(order))
            .bind(Micros(*at))
            .execute(&mut *connection)
            .await?
            .rows_affected();
    }
    if changed > 0 {
        query(sql::RAISE_RESERVATIONS_VERSION).execute(connection).await?;
    }
    Ok(())
}

/// Gives back all of these leases' hostnames. Who waited for one of them to be let go is woken.
pub(super) async fn release_hostnames(
    connection: &mut SqliteConnection,
    leases: &[LeaseId],
    now: Timestamp,
) -> Result<(), Failure> {
    if !leases.is_empty() {
        query(sql::RELEASE_HOSTNAMES).bind(Json(leases)).execute(&mut *connection).await?;
    }
    for lease in leases {
        let_hostnames_go(connection, lease, &[], now).await?;
    }
    Ok(())
}

/// A lease routes these hostnames and no others any more. Who waited for another one is woken.
pub(super) async fn let_hostnames_go(
    connection: &mut SqliteConnection,
    lease: &LeaseId,
    routed: &[String],
    now: Timestamp,
) -> Result<(), Failure> {
    let waited: Vec<Text<Subject>> = query_scalar(sql::LET_HOSTNAMES_GO)
        .bind(Text(lease))
        .bind(Json(routed))
        .fetch_all(&mut *connection)
        .await?;
    wake_all(connection, waited.iter().map(|Text(subject)| subject), now).await?;
    Ok(())
}

pub(super) async fn hostnames_of(
    connection: &mut SqliteConnection,
    subjects: &[String],
) -> Result<Vec<(Subject, HostnameClaim)>, Failure> {
    let rows: Vec<(Text<Subject>, String, Text<LeaseId>, String)> =
        query_as(sql::HOSTNAMES_OF).bind(Json(subjects)).fetch_all(connection).await?;
    Ok(rows
        .into_iter()
        .map(|(Text(subject), hostname, Text(lease), service)| {
            (subject, HostnameClaim { hostname, lease, service })
        })
        .collect())
}

/// Which leases hold these names; one that nobody holds is not among them.
async fn hostnames_held(
    connection: &mut SqliteConnection,
    names: impl Iterator<Item = &String>,
) -> Result<Vec<(String, LeaseId)>, Failure> {
    let names: Vec<&String> = names.collect();
    let held: Vec<(String, Text<LeaseId>)> =
        query_as(sql::HOSTNAMES_HELD).bind(Json(names)).fetch_all(connection).await?;
    Ok(held.into_iter().map(|(name, Text(lease))| (name, lease)).collect())
}

/// The hashes of the manifests of these subjects, newest first.
pub(super) async fn manifest_hashes_of(
    connection: &mut SqliteConnection,
    subjects: &[String],
) -> Result<Vec<(DeploymentId, String)>, Failure> {
    // A list of subjects holds the provider and streams too; only deployments have manifests.
    let rows: Vec<(Text<DeploymentId>, String)> =
        query_as(sql::MANIFEST_HASHES_OF).bind(Json(subjects)).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(Text(deployment), hash)| (deployment, hash)).collect())
}

#[derive(FromRow)]
struct StoredManifest {
    subject: Text<DeploymentId>,
    hash: String,
    body: String,
    sealed_by: Option<String>,
    received_at: Micros,
}

impl StoredManifest {
    fn open(self, seal: &Seal) -> Result<ManifestRow, Failure> {
        let Self { subject: Text(deployment), hash, body, sealed_by, received_at } = self;
        let name = manifest_row(&deployment.to_string(), &hash);
        let opened = match sealed_by {
            Some(key_id) => seal.open_record(&name, &key_id, &body),
            None => Ok(body),
        };
        let body = opened.map_err(|error| {
            Failure::Sealed(format!("manifest {hash} of {deployment}: {error}"))
        })?;
        Ok(ManifestRow { deployment, hash, body, received_at: received_at.0 })
    }
}

/// Sorts out which hostnames the leases get: a lease of another owner that holds one is a conflict, one of the same owner
/// keeps it silently, and of two claims at once the first counts.
fn settle_claims(
    owner: &Address,
    leases: &[LeaseId],
    claims: &[HostnameClaim],
    held: Vec<(String, LeaseId)>,
) -> Result<Vec<HostnameClaim>, (String, LeaseId)> {
    let mut kept: BTreeSet<String> = BTreeSet::new();
    for (hostname, holder) in held {
        if leases.contains(&holder) {
            continue;
        }
        if holder.order.owner() != owner {
            return Err((hostname, holder));
        }
        kept.insert(hostname);
    }
    Ok(claims.iter().filter(|claim| kept.insert(claim.hostname.clone())).cloned().collect())
}

/// A claim as a list for `json_each` has it.
#[derive(Serialize)]
struct ClaimRow<'a> {
    hostname: &'a str,
    lease: &'a LeaseId,
    service: &'a str,
}

fn claim_rows(claims: &[HostnameClaim]) -> Vec<ClaimRow<'_>> {
    claims
        .iter()
        .map(|HostnameClaim { hostname, lease, service }| ClaimRow { hostname, lease, service })
        .collect()
}

async fn claim_hostnames(
    connection: &mut SqliteConnection,
    deployment: &DeploymentId,
    leases: &[LeaseId],
    claims: &[HostnameClaim],
) -> Result<(), Failure> {
    let names: Vec<&str> = claims.iter().map(|claim| claim.hostname.as_str()).collect();
    query(sql::RELEASE_OTHER_HOSTNAMES)
        .bind(Json(leases))
        .bind(Json(names))
        .execute(&mut *connection)
        .await?;
    query(sql::CLAIM_HOSTNAMES)
        .bind(Json(claim_rows(claims)))
        .bind(Text(deployment))
        .execute(connection)
        .await?;
    Ok(())
}

impl Sqlite {
    pub(super) async fn read_reservations(&self) -> Result<Reservations, Failure> {
        reservations(&mut *self.read().await?).await
    }

    pub(super) async fn read_reservations_unless(
        &self,
        version: u64,
    ) -> Result<Option<Reservations>, Failure> {
        reservations_unless(&mut *self.read().await?, version).await
    }

    pub(super) async fn accept_manifest(
        &self,
        manifest: &ManifestRow,
        leases: &[LeaseId],
        hostnames: &[HostnameClaim],
        now: Timestamp,
    ) -> Result<ManifestStored, Failure> {
        let name = manifest_row(&manifest.deployment.to_string(), &manifest.hash);
        let mut tx = self.write().await?;
        self.seal.follow_file();
        let sealed = self
            .seal
            .seal(&name, &manifest.body)
            .map_err(|error| Failure::Sealed(format!("manifest {}: {error}", manifest.hash)))?;
        let held = hostnames_held(&mut tx, hostnames.iter().map(|claim| &claim.hostname)).await?;
        match settle_claims(&manifest.deployment.owner, leases, hostnames, held) {
            Ok(granted) => {
                claim_hostnames(&mut tx, &manifest.deployment, leases, &granted).await?;
            }
            Err((hostname, holder)) => {
                return Ok(ManifestStored::HostnameTaken { hostname, holder });
            }
        }
        query(sql::STORE_MANIFEST)
            .bind(Text(&manifest.deployment))
            .bind(&manifest.hash)
            .bind(sealed.body)
            .bind(sealed.key_id)
            .bind(Micros(manifest.received_at))
            .execute(&mut *tx)
            .await?;
        query(sql::DROP_OLD_MANIFESTS).bind(Text(&manifest.deployment)).execute(&mut *tx).await?;
        wake_all(&mut tx, [&Subject::Deployment(manifest.deployment.clone())], now).await?;
        tx.commit().await?;
        Ok(ManifestStored::Done)
    }

    pub(super) async fn read_hostname_holders(
        &self,
        names: &[String],
    ) -> Result<Vec<(String, LeaseId)>, Failure> {
        hostnames_held(&mut *self.read().await?, names.iter()).await
    }

    pub(super) async fn change_hostname_holder(
        &self,
        to: &LeaseId,
        claims: &[HostnameClaim],
        audit: &AuditLine,
        now: Timestamp,
    ) -> Result<HostnamesMoved, Failure> {
        let mut tx = self.write().await?;
        let held = hostnames_held(&mut tx, claims.iter().map(|claim| &claim.hostname)).await?;
        let owner = to.order.owner();
        if let Some((hostname, holder)) =
            held.iter().find(|(_, holder)| holder.order.owner() != owner)
        {
            let (hostname, holder) = (hostname.clone(), holder.clone());
            return Ok(HostnamesMoved::HostnameTaken { hostname, holder });
        }
        query(sql::MOVE_HOSTNAMES)
            .bind(Json(claim_rows(claims)))
            .bind(Text(to.deployment()))
            .execute(&mut *tx)
            .await?;
        append_audit(&mut tx, std::slice::from_ref(audit)).await?;
        let holders = held.iter().map(|(_, holder)| holder).chain([to]);
        let woken: Vec<Subject> =
            holders.map(|lease| Subject::Deployment(lease.deployment().clone())).collect();
        wake_all(&mut tx, &woken, now).await?;
        tx.commit().await?;
        Ok(HostnamesMoved::Done)
    }

    pub(super) async fn read_manifests(
        &self,
        deployment: &DeploymentId,
    ) -> Result<Vec<ManifestRow>, Failure> {
        let rows: Vec<StoredManifest> =
            query_as(sql::MANIFESTS_OF).bind(Text(deployment)).fetch_all(&self.readers).await?;
        rows.into_iter().map(|row| row.open(&self.seal)).collect()
    }

    pub(super) async fn read_manifest(
        &self,
        deployment: &DeploymentId,
        hash: &str,
    ) -> Result<Option<ManifestRow>, Failure> {
        let row: Option<StoredManifest> = query_as(sql::MANIFEST)
            .bind(Text(deployment))
            .bind(hash)
            .fetch_optional(&self.readers)
            .await?;
        row.map(|row| row.open(&self.seal)).transpose()
    }

    pub(super) async fn read_hostnames(
        &self,
        lease: &LeaseId,
    ) -> Result<Vec<HostnameClaim>, Failure> {
        let rows: Vec<(String, Text<LeaseId>, String)> =
            query_as(sql::HOSTNAMES_OF_LEASE).bind(Text(lease)).fetch_all(&self.readers).await?;
        Ok(rows
            .into_iter()
            .map(|(hostname, Text(lease), service)| HostnameClaim { hostname, lease, service })
            .collect())
    }
}
