//! Adapters of the cluster port: whatever runs the workloads of leases.
//!
//! | adapter | runs workloads |
//! |---|---|
//! | [`kubernetes::Kubernetes`] | in a Kubernetes cluster |
//! | [`Simulated`] | nowhere: it asks a simulated cluster over loopback HTTP what would have happened |
//!
//! An adapter translates: the port's workload into what its cluster understands, the cluster's answers into the port's,
//! its failures into one of three meanings. It decides nothing, keeps nothing, and repeats nothing by itself; when to
//! ask again is the caller's business.
//!
//! The surprising fact: absence is only believed when the cluster itself says it. A bare 404, as any web server gives,
//! means that nothing is known.

pub mod kubernetes;
mod simulated;

pub use simulated::Simulated;
