//! Small values for the tests of this module.

use crate::domain::{
    Address, Attribute, Endpoint, EndpointKind, GroupSpec, OrderId, Price, Requirements,
    ResourceUnit, Resources, Volume,
    inventory::{GpuModel, Inventory, Node, Quantity},
};

pub(super) const MI: u64 = 1 << 20;
pub(super) const GI: u64 = 1 << 30;

pub(super) fn address(number: u8) -> Address {
    Address::from_bytes(&[number; 20]).unwrap()
}

pub(super) fn order(number: u64) -> OrderId {
    OrderId::new(address(1), number, 1, 1)
}

pub(super) fn attributes(pairs: &[(&str, &str)]) -> Vec<Attribute> {
    pairs.iter().map(|(key, value)| Attribute::new(*key, *value)).collect()
}

pub(super) fn volume(bytes: u64, pairs: &[(&str, &str)]) -> Volume {
    Volume { name: format!("v{bytes}"), bytes, attributes: attributes(pairs) }
}

pub(super) fn persistent(class: &str, bytes: u64) -> Volume {
    volume(bytes, &[("persistent", "true"), ("class", class)])
}

/// `count` replicas without volumes, GPUs and endpoints.
pub(super) fn unit(id: u32, cpu_milli: u64, memory_bytes: u64, count: u32) -> ResourceUnit {
    ResourceUnit {
        resources: Resources {
            id,
            cpu_milli,
            cpu_attributes: Vec::new(),
            memory_bytes,
            memory_attributes: Vec::new(),
            storage: Vec::new(),
            gpu_units: 0,
            gpu_attributes: Vec::new(),
            endpoints: Vec::new(),
        },
        count,
        price: "uact"
            .parse()
            .map(|denom| Price { denom, amount: "1000000".parse().unwrap() })
            .unwrap(),
    }
}

pub(super) trait With {
    fn storage(self, volumes: &[Volume]) -> Self;
    fn gpu(self, units: u64, keys: &[&str]) -> Self;
    fn http(self, count: u32) -> Self;
    fn ip(self, sequence_number: u32) -> Self;
}

impl With for ResourceUnit {
    fn storage(mut self, volumes: &[Volume]) -> Self {
        self.resources.storage = volumes.to_vec();
        self
    }

    fn gpu(mut self, units: u64, keys: &[&str]) -> Self {
        self.resources.gpu_units = units;
        self.resources.gpu_attributes =
            keys.iter().map(|key| Attribute::new(*key, "true")).collect();
        self
    }

    fn http(mut self, count: u32) -> Self {
        let endpoint = Endpoint { kind: EndpointKind::SharedHttp, sequence_number: 0 };
        self.resources.endpoints.extend((0..count).map(|_| endpoint));
        self
    }

    fn ip(mut self, sequence_number: u32) -> Self {
        self.resources.endpoints.push(Endpoint { kind: EndpointKind::LeasedIp, sequence_number });
        self
    }
}

pub(super) fn group(units: &[ResourceUnit]) -> GroupSpec {
    GroupSpec { name: "west".into(), requirements: Requirements::default(), units: units.to_vec() }
}

pub(super) fn node(name: &str, cpu_milli: u64, memory_bytes: u64, ephemeral_bytes: u64) -> Node {
    Node {
        name: name.into(),
        cpu_milli: Quantity::of(cpu_milli),
        memory_bytes: Quantity::of(memory_bytes),
        ephemeral_bytes: Quantity::of(ephemeral_bytes),
        gpus: Vec::new(),
        storage_classes: Vec::new(),
        excluded: None,
    }
}

pub(super) fn gpu(model: &str, ram: &str, interface: &str, units: u64) -> GpuModel {
    GpuModel {
        vendor: "nvidia".into(),
        model: model.into(),
        ram: Some(ram.into()),
        interface: Some(interface.into()),
        units: Quantity::of(units),
    }
}

pub(super) fn cluster(nodes: &[Node]) -> Inventory {
    Inventory { nodes: nodes.to_vec(), ..Inventory::default() }
}
