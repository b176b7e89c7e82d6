//! What the use cases need of the world, as traits. Adapters implement them and never know each other.
//!
//! | port | adapter | answers |
//! |---|---|---|
//! | [`Store`] | `store` | the durable rows |
//! | [`Chain`] | `chain` | what the chain holds, at which height; takes transactions |
//! | [`Signer`] | `chain` | signs with the provider's key |
//! | [`Cluster`] | `cluster` | runs workloads |
//! | [`Indexer`] | `chain` | gives again the blocks that a stream missed |
//! | [`Clock`], [`Entropy`] | `cmd` | the host's time and randomness |

mod chain;
mod cluster;
mod store;
mod world;

pub use chain::{
    Account, Broadcast, Chain, ChainError, ChainErrorKind, ChainIdentity, Included, Indexer,
    Missed, NodeFault, NodeHealth, Refusal, Seen, Signer, SignerError, Tip,
};
pub use cluster::{
    Cluster, ClusterError, ClusterErrorKind, ClusterEvent, ExecInput, ExecOutput, ExecQuery,
    Execution, ForwardedPort, HostnameRoute, LeaseStatus, LogLine, LogQuery, OtherWriter,
    ServiceStatus, Teardown, Workload,
};
pub use store::*;
pub use world::{Clock, Entropy};
