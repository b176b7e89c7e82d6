//! `akash.deployment.v1` and `akash.deployment.v1beta4`: deployments and groups. Owns the messages only.
//!
//! In [`MsgUpdateDeployment`] the hash has number 3: number 2 was the groups of older versions.
#![expect(missing_docs, reason = "the fields carry the names of the chain's protobuf definitions")]

use prost::Message;

use super::{base, cosmos, escrow, google};

/// A deployment's path.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DeploymentId {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(uint64, tag = "2")]
    pub dseq: u64,
}

/// A deployment; `state` is a number of [`crate::domain::DeploymentState`], `hash` the manifest's SHA-256.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Deployment {
    #[prost(message, required, tag = "1")]
    pub id: DeploymentId,
    #[prost(int32, tag = "2")]
    pub state: i32,
    #[prost(bytes = "vec", tag = "3")]
    pub hash: Vec<u8>,
    #[prost(int64, tag = "4")]
    pub created_at: i64,
    #[prost(message, optional, tag = "5")]
    pub reclamation: Option<DeploymentReclamation>,
}

/// The shortest notice that the tenant accepts.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DeploymentReclamation {
    #[prost(message, required, tag = "1")]
    pub min_window: google::Duration,
}

/// A group's path.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct GroupId {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(uint64, tag = "2")]
    pub dseq: u64,
    #[prost(uint32, tag = "3")]
    pub gseq: u32,
}

/// The tenant asks for groups; each becomes an order.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgCreateDeployment {
    #[prost(message, required, tag = "1")]
    pub id: DeploymentId,
    #[prost(message, repeated, tag = "2")]
    pub groups: Vec<GroupSpec>,
    #[prost(bytes = "vec", tag = "3")]
    pub hash: Vec<u8>,
    #[prost(message, required, tag = "4")]
    pub deposit: base::Deposit,
    #[prost(message, optional, tag = "5")]
    pub reclamation: Option<DeploymentReclamation>,
}

/// Answer to [`MsgCreateDeployment`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgCreateDeploymentResponse {}

/// The tenant announces the hash of a new manifest.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgUpdateDeployment {
    #[prost(message, required, tag = "1")]
    pub id: DeploymentId,
    #[prost(bytes = "vec", tag = "3")]
    pub hash: Vec<u8>,
}

/// Answer to [`MsgUpdateDeployment`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgUpdateDeploymentResponse {}

/// The tenant ends everything under the deployment.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgCloseDeployment {
    #[prost(message, required, tag = "1")]
    pub id: DeploymentId,
}

/// Answer to [`MsgCloseDeployment`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgCloseDeploymentResponse {}

/// The tenant ends one group.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgCloseGroup {
    #[prost(message, required, tag = "1")]
    pub id: GroupId,
}

/// Answer to [`MsgCloseGroup`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgCloseGroupResponse {}

/// The tenant pauses one group: its order, bids and lease end.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgPauseGroup {
    #[prost(message, required, tag = "1")]
    pub id: GroupId,
}

/// Answer to [`MsgPauseGroup`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgPauseGroupResponse {}

/// The tenant starts a paused group: it gets a new order.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgStartGroup {
    #[prost(message, required, tag = "1")]
    pub id: GroupId,
}

/// Answer to [`MsgStartGroup`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgStartGroupResponse {}

/// A group; `state` is a number of [`crate::domain::GroupState`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Group {
    #[prost(message, required, tag = "1")]
    pub id: GroupId,
    #[prost(int32, tag = "2")]
    pub state: i32,
    #[prost(message, required, tag = "3")]
    pub group_spec: GroupSpec,
    #[prost(int64, tag = "4")]
    pub created_at: i64,
}

/// What is asked of one provider.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct GroupSpec {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, required, tag = "2")]
    pub requirements: base::PlacementRequirements,
    #[prost(message, repeated, tag = "3")]
    pub resources: Vec<ResourceUnit>,
}

/// Some replicas of the same resources; the price is per replica and block.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ResourceUnit {
    #[prost(message, required, tag = "1")]
    pub resource: base::Resources,
    #[prost(uint32, tag = "2")]
    pub count: u32,
    #[prost(message, required, tag = "3")]
    pub price: cosmos::DecCoin,
}

/// Which deployments to list; an empty field means any.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DeploymentFilters {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(uint64, tag = "2")]
    pub dseq: u64,
    #[prost(string, tag = "3")]
    pub state: String,
}

/// The deployment module's parameters.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Params {
    #[prost(message, repeated, tag = "1")]
    pub min_deposits: Vec<cosmos::Coin>,
}

/// Lists deployments.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryDeploymentsRequest {
    #[prost(message, required, tag = "1")]
    pub filters: DeploymentFilters,
    #[prost(message, optional, tag = "2")]
    pub pagination: Option<cosmos::PageRequest>,
}

/// One page of deployments.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryDeploymentsResponse {
    #[prost(message, repeated, tag = "1")]
    pub deployments: Vec<QueryDeploymentResponse>,
    #[prost(message, optional, tag = "2")]
    pub pagination: Option<cosmos::PageResponse>,
}

/// Reads one deployment.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryDeploymentRequest {
    #[prost(message, required, tag = "1")]
    pub id: DeploymentId,
}

/// The deployment with its groups and its escrow.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryDeploymentResponse {
    #[prost(message, required, tag = "1")]
    pub deployment: Deployment,
    #[prost(message, repeated, tag = "2")]
    pub groups: Vec<Group>,
    #[prost(message, required, tag = "3")]
    pub escrow_account: escrow::Account,
}

/// Reads one group.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryGroupRequest {
    #[prost(message, required, tag = "1")]
    pub id: GroupId,
}

/// The group.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryGroupResponse {
    #[prost(message, required, tag = "1")]
    pub group: Group,
}

/// Reads the deployment module's parameters.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryParamsRequest {}

/// The deployment module's parameters.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryParamsResponse {
    #[prost(message, required, tag = "1")]
    pub params: Params,
}

named! { "akash.deployment.v1":
    DeploymentId as "DeploymentID",
    Deployment,
    DeploymentReclamation,
    GroupId as "GroupID",
}
named! { "akash.deployment.v1beta4":
    MsgCreateDeployment,
    MsgCreateDeploymentResponse,
    MsgUpdateDeployment,
    MsgUpdateDeploymentResponse,
    MsgCloseDeployment,
    MsgCloseDeploymentResponse,
    MsgCloseGroup,
    MsgCloseGroupResponse,
    MsgPauseGroup,
    MsgPauseGroupResponse,
    MsgStartGroup,
    MsgStartGroupResponse,
    Group,
    GroupSpec,
    ResourceUnit,
    DeploymentFilters,
    Params,
    QueryDeploymentsRequest,
    QueryDeploymentsResponse,
    QueryDeploymentRequest,
    QueryDeploymentResponse,
    QueryGroupRequest,
    QueryGroupResponse,
    QueryParamsRequest,
    QueryParamsResponse,
}

queries! {
    QueryDeploymentsRequest => QueryDeploymentsResponse: "/akash.deployment.v1beta4.Query/Deployments",
    QueryDeploymentRequest => QueryDeploymentResponse: "/akash.deployment.v1beta4.Query/Deployment",
    QueryGroupRequest => QueryGroupResponse: "/akash.deployment.v1beta4.Query/Group",
    QueryParamsRequest => QueryParamsResponse: "/akash.deployment.v1beta4.Query/Params",
}
