//! Authorisation as extractors: what a handler's arguments say is what was checked before it ran.
//!
//! | extractor | who gets through |
//! |---|---|
//! | [`Known`] | any tenant, and the operator |
//! | [`Operator`] | the operator, by token or by a session's cookie |
//! | [`OrderReader`], [`LeaseReader`] | the owner whose token allows it, and the operator |
//! | [`DeploymentOwner`], [`LeaseOwner`] | the owner whose token allows it |
//!
//! What is not the caller's is answered as if it were absent: nobody learns who has leases here.

use std::{collections::HashMap, marker::PhantomData};

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;

use super::{
    Caller, Refusal,
    claims::{Claims, Scope},
};
use crate::{
    domain::{DeploymentId, LeaseId, OrderId},
    gateway::{
        State,
        problem::{Code, Problem, Violation},
    },
};

/// What a route asks of a tenant's token, as a type.
pub trait Needs: Send + Sync + 'static {
    /// The scope.
    const SCOPE: Scope;
}

/// Declares a type for a scope.
macro_rules! needs {
    ($($(#[$doc:meta])* $name:ident = $scope:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name;

        impl Needs for $name {
            const SCOPE: Scope = Scope::$scope;
        }
    )*};
}

needs! {
    /// Reading status.
    Status = Status;
    /// Reading logs.
    Logs = Logs;
    /// Reading cluster events.
    Events = Events;
    /// Running commands in a replica.
    Shell = Shell;
    /// Uploading a manifest.
    SendManifest = SendManifest;
    /// Reading a manifest back.
    GetManifest = GetManifest;
}

/// Anyone who proved who they are.
#[derive(Debug)]
pub struct Known(pub Caller);

impl FromRequestParts<State> for Known {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        Ok(Self(super::caller(state, parts).await?))
    }
}

/// Whoever runs this provider.
#[derive(Debug, Clone, Copy)]
pub struct Operator;

impl FromRequestParts<State> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        if state.settings.admin_token.is_none() {
            return Err(Problem::new(Code::AdminNotConfigured));
        }
        match super::caller(state, parts).await {
            Ok(Caller::Operator) => Ok(Self),
            Ok(Caller::Tenant(_)) => Err(Problem::new(Code::OperatorOnly)),
            // What is wrong with something that is no tenant's token either is no help to its sender.
            Err(Refusal::Token(_) | Refusal::NoKey) => Err(Problem::new(Code::CredentialsInvalid)),
            Err(refusal) => Err(refusal.into()),
        }
    }
}

/// The owner of the order in the path, with a token that allows `N`; or the operator.
#[derive(Debug)]
pub struct OrderReader<N> {
    /// The order.
    pub order: OrderId,
    /// Who reads.
    pub caller: Caller,
    needs: PhantomData<N>,
}

/// The owner of the lease in the path, with a token that allows `N`; or the operator.
#[derive(Debug)]
pub struct LeaseReader<N> {
    /// The lease.
    pub lease: LeaseId,
    /// Who reads.
    pub caller: Caller,
    needs: PhantomData<N>,
}

/// The owner of the lease in the path, with a token that allows `N`.
#[derive(Debug)]
pub struct LeaseOwner<N> {
    /// The lease.
    pub lease: LeaseId,
    /// What the token says.
    pub claims: Claims,
    needs: PhantomData<N>,
}

/// The owner of the deployment in the path, with a token that allows `N`.
#[derive(Debug)]
pub struct DeploymentOwner<N> {
    /// The deployment.
    pub deployment: DeploymentId,
    needs: PhantomData<N>,
}

impl<N: Needs> FromRequestParts<State> for OrderReader<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let (order, caller) = reader::<N>(parts, state, Code::OrderNotFound).await?;
        Ok(Self { order, caller, needs: PhantomData })
    }
}

impl<N: Needs> FromRequestParts<State> for LeaseReader<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let (order, caller) = reader::<N>(parts, state, Code::LeaseNotFound).await?;
        let lease = order.lease(&state.provider.address);
        Ok(Self { lease, caller, needs: PhantomData })
    }
}

impl<N: Needs> FromRequestParts<State> for LeaseOwner<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let (order, caller) = reader::<N>(parts, state, Code::LeaseNotFound).await?;
        let Caller::Tenant(claims) = caller else {
            let detail = "only the tenant may do this in a lease";
            return Err(Problem::new(Code::ScopeMissing).detail(detail));
        };
        let lease = order.lease(&state.provider.address);
        Ok(Self { lease, claims, needs: PhantomData })
    }
}

impl<N: Needs> FromRequestParts<State> for DeploymentOwner<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Problem> {
        let claims = match super::caller(state, parts).await? {
            Caller::Tenant(claims) => claims,
            Caller::Operator => {
                let detail = "only the tenant changes a deployment";
                return Err(Problem::new(Code::ScopeMissing).detail(detail));
            }
        };
        let names = path(parts, state).await?;
        let dseq = number(&names, "dseq")?;
        let deployment = DeploymentId::new(claims.issuer.clone(), dseq);
        if !claims.access.allows_deployment(&state.provider.address, &deployment, N::SCOPE) {
            return Err(scope_missing(N::SCOPE));
        }
        Ok(Self { deployment, needs: PhantomData })
    }
}

async fn reader<N: Needs>(
    parts: &mut Parts,
    state: &State,
    absent: Code,
) -> Result<(OrderId, Caller), Problem> {
    let caller = super::caller(state, parts).await?;
    let names = path(parts, state).await?;
    let order = order(&names)?;
    if let Caller::Tenant(claims) = &caller {
        is_reader::<N>(claims, &order.lease(&state.provider.address), absent)?;
    }
    Ok((order, caller))
}

fn is_reader<N: Needs>(claims: &Claims, lease: &LeaseId, absent: Code) -> Result<(), Problem> {
    if claims.issuer != *lease.order.owner() {
        return Err(Problem::new(absent));
    }
    if claims.access.allows_lease(lease, N::SCOPE) { Ok(()) } else { Err(scope_missing(N::SCOPE)) }
}

fn scope_missing(scope: Scope) -> Problem {
    Problem::new(Code::ScopeMissing).detail(format!("the token does not allow {scope} here"))
}

type Names = HashMap<String, String>;

async fn path(parts: &mut Parts, state: &State) -> Result<Names, Problem> {
    Path::<Names>::from_request_parts(parts, state)
        .await
        .map(|Path(names)| names)
        .map_err(|error| Problem::new(Code::MalformedPath).detail(error.body_text()))
}

/// `owner/dseq/gseq/oseq` of the path.
fn order(names: &Names) -> Result<OrderId, Problem> {
    let part = |name: &str| names.get(name).map_or("", String::as_str);
    format!("{}/{}/{}/{}", part("owner"), part("dseq"), part("gseq"), part("oseq")).parse().map_err(
        |error: crate::domain::IdError| Problem::new(Code::MalformedPath).detail(error.to_string()),
    )
}

fn number(names: &Names, name: &'static str) -> Result<u64, Problem> {
    let text = names.get(name).map_or("", String::as_str);
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| {
        Problem::new(Code::MalformedPath).violations(vec![Violation::at(
            format!("/{name}"),
            format!("must be a whole number from 1 to {}", u64::MAX),
        )])
    })
}
