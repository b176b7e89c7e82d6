//! Attributes, resources and groups. These go both ways without loss.

use super::super::{
    base, deployment,
    field::{FieldError, InField, Inside},
};
use crate::domain::{
    Attribute, Endpoint, EndpointKind, GroupSpec, Requirements, ResourceUnit, Resources, SignedBy,
    Volume,
};

impl From<base::Attribute> for Attribute {
    fn from(attribute: base::Attribute) -> Self {
        Self { key: attribute.key, value: attribute.value }
    }
}

impl From<&Attribute> for base::Attribute {
    fn from(attribute: &Attribute) -> Self {
        Self { key: attribute.key.clone(), value: attribute.value.clone() }
    }
}

pub(super) fn read_attributes(list: Vec<base::Attribute>) -> Vec<Attribute> {
    list.into_iter().map(Into::into).collect()
}

fn write_attributes(list: &[Attribute]) -> Vec<base::Attribute> {
    list.iter().map(Into::into).collect()
}

impl From<base::PlacementRequirements> for Requirements {
    fn from(requirements: base::PlacementRequirements) -> Self {
        let base::SignedBy { all_of, any_of } = requirements.signed_by;
        Self {
            signed_by: SignedBy { all_of, any_of },
            attributes: read_attributes(requirements.attributes),
        }
    }
}

impl From<&Requirements> for base::PlacementRequirements {
    fn from(requirements: &Requirements) -> Self {
        Self {
            signed_by: base::SignedBy {
                all_of: requirements.signed_by.all_of.clone(),
                any_of: requirements.signed_by.any_of.clone(),
            },
            attributes: write_attributes(&requirements.attributes),
        }
    }
}

fn read_number(value: &base::ResourceValue) -> Result<u64, FieldError> {
    std::str::from_utf8(&value.val)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| FieldError::new("val", "is not a whole number from 0 to 2⁶⁴ − 1"))
}

fn write_number(number: u64) -> base::ResourceValue {
    base::ResourceValue { val: number.to_string().into_bytes() }
}

impl TryFrom<base::Endpoint> for Endpoint {
    type Error = FieldError;

    fn try_from(endpoint: base::Endpoint) -> Result<Self, FieldError> {
        let kind = match endpoint.kind {
            0 => EndpointKind::SharedHttp,
            1 => EndpointKind::RandomPort,
            2 => EndpointKind::LeasedIp,
            other => {
                return Err(FieldError::new("kind", format_args!("{other} is not a known kind")));
            }
        };
        Ok(Self { kind, sequence_number: endpoint.sequence_number })
    }
}

impl From<&Endpoint> for base::Endpoint {
    fn from(endpoint: &Endpoint) -> Self {
        let kind = match endpoint.kind {
            EndpointKind::SharedHttp => 0,
            EndpointKind::RandomPort => 1,
            EndpointKind::LeasedIp => 2,
        };
        Self { kind, sequence_number: endpoint.sequence_number }
    }
}

impl TryFrom<base::Storage> for Volume {
    type Error = FieldError;

    fn try_from(storage: base::Storage) -> Result<Self, FieldError> {
        Ok(Self {
            bytes: read_number(&storage.quantity).inside("quantity")?,
            name: storage.name,
            attributes: read_attributes(storage.attributes),
        })
    }
}

impl From<&Volume> for base::Storage {
    fn from(volume: &Volume) -> Self {
        Self {
            name: volume.name.clone(),
            quantity: write_number(volume.bytes),
            attributes: write_attributes(&volume.attributes),
        }
    }
}

impl TryFrom<base::Resources> for Resources {
    type Error = FieldError;

    fn try_from(resources: base::Resources) -> Result<Self, FieldError> {
        let cpu = resources.cpu.ok_or("is missing").in_field("cpu")?;
        let memory = resources.memory.ok_or("is missing").in_field("memory")?;
        // No GPU and none of them are the same request.
        let gpu = resources
            .gpu
            .unwrap_or_else(|| base::Gpu { units: write_number(0), attributes: Vec::new() });
        Ok(Self {
            id: resources.id,
            cpu_milli: read_number(&cpu.units).inside("cpu.units")?,
            cpu_attributes: read_attributes(cpu.attributes),
            memory_bytes: read_number(&memory.quantity).inside("memory.quantity")?,
            memory_attributes: read_attributes(memory.attributes),
            storage: read_list("storage", resources.storage)?,
            gpu_units: read_number(&gpu.units).inside("gpu.units")?,
            gpu_attributes: read_attributes(gpu.attributes),
            endpoints: read_list("endpoints", resources.endpoints)?,
        })
    }
}

impl From<&Resources> for base::Resources {
    fn from(resources: &Resources) -> Self {
        Self {
            id: resources.id,
            cpu: Some(base::Cpu {
                units: write_number(resources.cpu_milli),
                attributes: write_attributes(&resources.cpu_attributes),
            }),
            memory: Some(base::Memory {
                quantity: write_number(resources.memory_bytes),
                attributes: write_attributes(&resources.memory_attributes),
            }),
            storage: resources.storage.iter().map(Into::into).collect(),
            gpu: Some(base::Gpu {
                units: write_number(resources.gpu_units),
                attributes: write_attributes(&resources.gpu_attributes),
            }),
            endpoints: resources.endpoints.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<deployment::ResourceUnit> for ResourceUnit {
    type Error = FieldError;

    fn try_from(unit: deployment::ResourceUnit) -> Result<Self, FieldError> {
        Ok(Self {
            resources: unit.resource.try_into().inside("resource")?,
            count: unit.count,
            price: unit.price.try_into().inside("price")?,
        })
    }
}

impl From<&ResourceUnit> for deployment::ResourceUnit {
    fn from(unit: &ResourceUnit) -> Self {
        Self { resource: (&unit.resources).into(), count: unit.count, price: (&unit.price).into() }
    }
}

impl TryFrom<deployment::GroupSpec> for GroupSpec {
    type Error = FieldError;

    fn try_from(spec: deployment::GroupSpec) -> Result<Self, FieldError> {
        Ok(Self {
            name: spec.name,
            requirements: spec.requirements.into(),
            units: read_list("resources", spec.resources)?,
        })
    }
}

impl From<&GroupSpec> for deployment::GroupSpec {
    fn from(spec: &GroupSpec) -> Self {
        Self {
            name: spec.name.clone(),
            requirements: (&spec.requirements).into(),
            resources: spec.units.iter().map(Into::into).collect(),
        }
    }
}

/// Reads each element; an error names its place.
pub(super) fn read_list<W, T>(name: &str, list: Vec<W>) -> Result<Vec<T>, FieldError>
where
    T: TryFrom<W, Error = FieldError>,
{
    list.into_iter()
        .enumerate()
        .map(|(at, element)| T::try_from(element).inside(format_args!("{name}[{at}]")))
        .collect()
}
