//! Pages of a list, with the chain's own page keys. Owns their form: a CRC-32 of the rest, then fields with a length
//! each: the states that were asked for, the state and the row that come next, and for most lists how it was searched.
//!
//! A key remembers the states but no other filter: the same filters must come with each page. And `total` is the number
//! of items on the page.

use crate::wire::cosmos::{PageRequest, PageResponse};

/// How many items a page has when the request does not say.
const DEFAULT_LIMIT: u64 = 100;

/// Where an item stands in a list: by state, then by key.
pub(super) struct Listed<T> {
    pub(super) state: u8,
    pub(super) key: Vec<u8>,
    pub(super) item: T,
}

/// How a list writes its page keys.
#[derive(Clone, Copy)]
pub(super) struct KeyForm<'a> {
    /// What stands before the state.
    pub(super) table: &'a [u8],
    pub(super) states: &'a [u8],
    /// Ends the keys of lists that have more than one index.
    pub(super) search: Option<u8>,
    /// The list was found by an index over all states, so the state has no say in the order.
    pub(super) across_states: bool,
}

impl<'a> KeyForm<'a> {
    /// A list that is ordered by state, then by key.
    pub(super) const fn by_state(states: &'a [u8], search: Option<u8>) -> Self {
        Self { table: &[], states, search, across_states: false }
    }
}

/// Cuts a page out of `items`, which stand in the order of `form.states`, then of their keys.
pub(super) fn cut<T>(
    items: Vec<Listed<T>>,
    form: KeyForm<'_>,
    request: Option<&PageRequest>,
) -> Result<(Vec<T>, PageResponse), String> {
    let all = PageRequest::default();
    let request = request.unwrap_or(&all);
    let mut items: Vec<Listed<T>> =
        if request.reverse { items.into_iter().rev().collect() } else { items };
    let start = if request.key.is_empty() {
        usize::try_from(request.offset).unwrap_or(usize::MAX)
    } else {
        let (state, key) = read(&request.key)?;
        let position = |wanted: u8| {
            form.states.iter().position(|&known| known == wanted && !form.across_states)
        };
        items
            .iter()
            .position(|listed| {
                let (at, from) = (position(listed.state), position(state));
                let (at, from) = ((at, listed.key.as_slice()), (from, key.as_slice()));
                if request.reverse { at <= from } else { at >= from }
            })
            .unwrap_or(items.len())
    };
    let limit = if request.limit == 0 { DEFAULT_LIMIT } else { request.limit };
    let start = start.min(items.len());
    let end = start.saturating_add(usize::try_from(limit).unwrap_or(usize::MAX)).min(items.len());
    let next_key = items.get(end).map(|next| write(next, form)).unwrap_or_default();
    items.truncate(end);
    let page: Vec<T> = items.into_iter().skip(start).map(|listed| listed.item).collect();
    let total = page.len() as u64;
    Ok((page, PageResponse { next_key, total }))
}

fn write<T>(next: &Listed<T>, form: KeyForm<'_>) -> Vec<u8> {
    let mut fields = Vec::new();
    let table = [form.table, &[next.state]].concat();
    for field in [form.states, &table, &next.key] {
        fields.push(u8::try_from(field.len()).unwrap_or(u8::MAX));
        fields.extend_from_slice(field);
    }
    if let Some(search) = form.search {
        fields.extend([1, search]);
    }
    let mut key = crc32(&fields).to_be_bytes().to_vec();
    key.extend(fields);
    key
}

fn read(key: &[u8]) -> Result<(u8, Vec<u8>), String> {
    let Some((&checksum, fields)) = key.split_first_chunk::<4>() else {
        return Err("pagination: invalid key: too short".to_owned());
    };
    let (given, found) = (u32::from_be_bytes(checksum), crc32(fields));
    if given != found {
        return Err(format!("pagination: invalid key: invalid checksum, {given:#x} != {found:#x}"));
    }
    let malformed = || "pagination: invalid key: malformed".to_owned();
    let (_, rest) = field(fields).ok_or_else(malformed)?;
    let (state, rest) = field(rest).ok_or_else(malformed)?;
    let (row, _) = field(rest).ok_or_else(malformed)?;
    let Some(&state) = state.last() else { return Err(malformed()) };
    Ok((state, row.to_vec()))
}

fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    rest.split_at_checked(length.into())
}

/// The checksum of IEEE 802.3, bit by bit: keys are short.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_key_is_the_chains_own() {
        // Recorded: the third open order of a list is dseq 1003.
        let recorded = "1effac68010101013d616b61736831646765306c6363357271786b77353272676176347130\
                        667968783761726375666d726b7977770000000000000003eb0000000100000001";
        let mut key = b"akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww\0".to_vec();
        key.extend(1003_u64.to_be_bytes());
        key.extend(1_u32.to_be_bytes());
        key.extend(1_u32.to_be_bytes());
        let written = write(&Listed { state: 1, key, item: () }, KeyForm::by_state(&[1], None));
        assert_eq!(crate::wire::text::to_hex(&written), recorded);
        assert_eq!(
            read(b"garbage!").unwrap_err(),
            "pagination: invalid key: invalid checksum, 0x67617262 != 0xbba51d63"
        );
    }
}
