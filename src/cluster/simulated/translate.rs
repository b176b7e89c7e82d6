//! Between the port's words and the simulated cluster's.

use crate::{
    devnet::cluster_api as api,
    manifest::{Expose, Mount, Service},
    provider::port::{
        ClusterEvent, ForwardedPort, LeaseStatus, LogLine, LogQuery, ServiceStatus, Workload,
    },
};

/// What the cluster must know of a workload.
///
/// # Errors
/// Names the service whose resources or ports no cluster can give.
pub(super) fn workload(workload: &Workload) -> Result<api::Workload, String> {
    Ok(api::Workload {
        manifest_hash: workload.manifest_hash.clone(),
        services: workload.group.services.iter().map(service).collect::<Result<_, _>>()?,
        hostnames: workload
            .hostnames
            .iter()
            .map(|route| api::HostnameRoute {
                hostname: route.hostname.clone(),
                service: route.service.clone(),
                port: route.port,
            })
            .collect(),
    })
}

fn service(service: &Service) -> Result<api::Service, String> {
    let resources = service
        .resources()
        .ok_or_else(|| format!("service {:?}: its resources are incomplete", service.name))?;
    let ports = service.expose.iter().map(|expose| port(&service.name, expose));
    let mounts = service.params.iter().flat_map(|params| &params.storage);
    Ok(api::Service {
        name: service.name.clone(),
        image: service.image.clone(),
        command: service.command.to_vec(),
        args: service.args.to_vec(),
        env: service.env.to_vec(),
        resources,
        count: service.count,
        ports: ports.collect::<Result<_, _>>()?,
        mounts: mounts.map(mount).collect(),
    })
}

fn port(service: &str, expose: &Expose) -> Result<api::Port, String> {
    let number = |port: u32| {
        u16::try_from(port).map_err(|_| format!("service {service:?}: {port} is no port"))
    };
    let proto = match expose.proto.as_str() {
        "TCP" => api::Protocol::Tcp,
        "UDP" => api::Protocol::Udp,
        other => return Err(format!("service {service:?}: {other:?} is neither TCP nor UDP")),
    };
    let reach = if !expose.global {
        api::Reach::Lease
    } else if !expose.ip.is_empty() {
        api::Reach::Address(expose.ip.clone())
    } else if expose.is_ingress() {
        api::Reach::Http
    } else {
        api::Reach::Forwarded
    };
    Ok(api::Port {
        port: number(expose.port)?,
        external_port: number(expose.external_port())?,
        proto,
        reach,
    })
}

fn mount(mount: &Mount) -> api::Mount {
    api::Mount { volume: mount.name.clone(), path: mount.mount.clone(), read_only: mount.read_only }
}

pub(super) fn status(status: api::LeaseStatus) -> LeaseStatus {
    let services = status.services.into_iter().map(|service| ServiceStatus {
        name: service.name,
        ready: service.ready,
        total: service.total,
        updated: service.updated,
        generation: service.generation,
        hostnames: service.hostnames,
        reason: service.reason,
    });
    let forwarded_ports = status.forwarded_ports.into_iter().map(|port| ForwardedPort {
        service: port.service,
        host: port.host,
        port: port.port,
        external_port: port.external_port,
        proto: port.proto.as_str().to_owned(),
    });
    LeaseStatus {
        manifest_hash: status.manifest_hash,
        services: services.collect(),
        forwarded_ports: forwarded_ports.collect(),
    }
}

pub(super) fn log_query(query: &LogQuery) -> api::LogQuery {
    api::LogQuery {
        services: query.services.join(","),
        follow: query.follow,
        tail: query.tail,
        after: query.after.clone(),
    }
}

pub(super) fn log_line(line: api::LogLine) -> LogLine {
    LogLine {
        cursor: line.cursor,
        service: line.service,
        replica: line.replica,
        at: line.at,
        line: line.line,
        is_note: false,
    }
}

pub(super) fn event(event: api::ClusterEvent) -> ClusterEvent {
    ClusterEvent {
        cursor: event.cursor,
        at: event.at,
        service: Some(event.service),
        reason: event.reason,
        // The port has no place for the replica, and without it two of a service look the same.
        message: format!("{}: {}", event.replica, event.message),
        kind: event.kind,
    }
}
