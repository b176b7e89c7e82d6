//! A decision laid out for reading: what came of it, what would change it, then every check with its numbers.

use std::fmt;

use super::{
    check::{Check, Rule},
    decision::{Decision, Outcome},
    placement::{NodeRefusal, Shortage},
    price::Quote,
};

impl Decision {
    /// What stands between this order and a bid, nearest first: one sentence for each check that failed.
    #[must_use]
    pub fn hints(&self) -> Vec<String> {
        self.failures()
            .map(|check| match (check.name, &self.shortage) {
                (Rule::Fits, Some(shortage)) => shortage.to_string(),
                _ => format!("{} needs {}, there is {}", check.name, check.needed, check.there),
            })
            .collect()
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Bid { price } => {
                writeln!(f, "order {}: bid at {price} per block", self.order)?;
            }
            Outcome::NoBid { reason } => {
                writeln!(f, "order {}: no bid, {}", self.order, reason.reason())?;
            }
        }
        writeln!(
            f,
            "decided at block {} ({}) under policy {}",
            self.at.height, self.at.time, self.policy_version
        )?;
        for hint in self.hints() {
            writeln!(f, "to change it: {hint}")?;
        }
        for stage in &self.stages {
            writeln!(f, "\n{}", stage.name)?;
            for check in &stage.checks {
                write_check(f, check)?;
            }
        }
        if let Some(shortage) = &self.shortage {
            write_shortage(f, shortage)?;
        }
        if let Some(placement) = &self.placement {
            f.write_str("\nplacement\n")?;
            for row in &placement.replicas {
                let gpu = row.gpu.as_ref().map_or(String::new(), |gpu| format!(" on gpu {gpu}"));
                writeln!(f, "  unit {}: {} × node {}{gpu}", row.unit, row.count, row.node)?;
            }
            if placement.ips > 0 {
                writeln!(f, "  {} leased addresses", placement.ips)?;
            }
        }
        if let Some(quote) = &self.price {
            write_price(f, quote)?;
        }
        Ok(())
    }
}

fn write_check(f: &mut fmt::Formatter<'_>, check: &Check) -> fmt::Result {
    let mark = if check.passed { "ok" } else { "NO" };
    let Check { name, needed, there, .. } = check;
    writeln!(f, "  {mark}  {:<20}  needed: {needed}  there: {there}", name.name())
}

fn write_shortage(f: &mut fmt::Formatter<'_>, shortage: &Shortage) -> fmt::Result {
    f.write_str("\nshortage\n")?;
    match shortage.unit {
        Some(id) => {
            writeln!(
                f,
                "  unit {id}: {} of {} replicas found a node",
                shortage.placed, shortage.count
            )?;
        }
        None => {
            for missing in &shortage.missing {
                writeln!(f, "  the cluster: {missing}")?;
            }
        }
    }
    for NodeRefusal { node, excluded, missing } in &shortage.nodes {
        if let Some(why) = excluded {
            writeln!(f, "  node {node}: excluded, {why}")?;
        } else {
            let parts: Vec<_> = missing.iter().map(ToString::to_string).collect();
            writeln!(f, "  node {node}: {}", parts.join("; "))?;
        }
    }
    if shortage.nodes_left_out > 0 {
        writeln!(f, "  and {} more nodes", shortage.nodes_left_out)?;
    }
    Ok(())
}

fn write_price(f: &mut fmt::Formatter<'_>, quote: &Quote) -> fmt::Result {
    f.write_str("\nprice per block\n")?;
    for line in &quote.lines {
        let quantity = format!("{} {}", line.quantity, line.unit);
        writeln!(
            f,
            "  {:<18}  {} × {} = {}",
            line.what,
            quantity.trim_end(),
            line.unit_price,
            line.sum
        )?;
    }
    writeln!(f, "  {:<18}  {}", "total", quote.total)
}
