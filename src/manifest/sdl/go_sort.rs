//! Sorts as Go's `sort.Sort` does, to the order of equal elements.
//!
//! Up to twelve elements that is an insertion sort and so stable. Beyond that it is a pattern-defeating quicksort, which
//! leaves equal elements in an order that only the same steps reproduce. Exposes that compare equal are part of a
//! manifest's hash, so the steps are followed here one by one; the pseudo-random ones are seeded by the length.

/// Up to this length an insertion sort is used.
const INSERTION: usize = 12;
/// From this length on the pivot is a median of nine.
const NINTHER: usize = 50;
/// Below this length a nearly sorted slice is not repaired by moving elements.
const SHIFTING: usize = 50;
/// How many misplaced elements are repaired before the attempt is given up.
const REPAIRS: usize = 5;
/// The swaps that a median of nine counts on a slice in descending order.
const DESCENDING_SWAPS: usize = 12;

/// Sorts `items`, `less` telling whether its first argument must stand before its second.
pub(super) fn go_sort<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let limit = bit_length(items.len());
    let end = items.len();
    Sorter { items, less }.quick(0, end, limit);
}

fn bit_length(number: usize) -> u32 {
    usize::BITS - number.leading_zeros()
}

struct Sorter<'a, T, L> {
    items: &'a mut [T],
    less: L,
}

/// What choosing a pivot has shown about a range.
#[derive(PartialEq, Eq)]
enum Pattern {
    Ascending,
    Descending,
    Unknown,
}

impl<T, L: Fn(&T, &T) -> bool> Sorter<'_, T, L> {
    fn less(&self, a: usize, b: usize) -> bool {
        (self.less)(&self.items[a], &self.items[b])
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.items.swap(a, b);
    }

    fn quick(&mut self, mut from: usize, mut to: usize, mut limit: u32) {
        let mut balanced = true;
        let mut partitioned = true;
        loop {
            let length = to - from;
            if length <= INSERTION {
                return self.insertion(from, to);
            }
            if limit == 0 {
                return self.heap(from, to);
            }
            if !balanced {
                self.break_patterns(from, to);
                limit -= 1;
            }
            let (mut pivot, mut pattern) = self.choose_pivot(from, to);
            if pattern == Pattern::Descending {
                self.items[from..to].reverse();
                pivot = (to - 1) - (pivot - from);
                pattern = Pattern::Ascending;
            }
            let hopeful = balanced && partitioned && pattern == Pattern::Ascending;
            if hopeful && self.repair(from, to) {
                return;
            }
            if from > 0 && !self.less(from - 1, pivot) {
                from = self.partition_equal(from, to, pivot);
                continue;
            }
            let (middle, was_partitioned) = self.partition(from, to, pivot);
            partitioned = was_partitioned;
            let (left, right) = (middle - from, to - middle);
            balanced = left.min(right) >= length / 8;
            if left < right {
                self.quick(from, middle, limit);
                from = middle + 1;
            } else {
                self.quick(middle + 1, to, limit);
                to = middle;
            }
        }
    }

    fn insertion(&mut self, from: usize, to: usize) {
        for i in from + 1..to {
            let mut j = i;
            while j > from && self.less(j, j - 1) {
                self.swap(j, j - 1);
                j -= 1;
            }
        }
    }

    fn heap(&mut self, from: usize, to: usize) {
        let length = to - from;
        for root in (0..=(length - 1) / 2).rev() {
            self.sift_down(root, length, from);
        }
        for end in (0..length).rev() {
            self.swap(from, from + end);
            self.sift_down(0, end, from);
        }
    }

    fn sift_down(&mut self, mut root: usize, end: usize, from: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= end {
                return;
            }
            if child + 1 < end && self.less(from + child, from + child + 1) {
                child += 1;
            }
            if !self.less(from + root, from + child) {
                return;
            }
            self.swap(from + root, from + child);
            root = child;
        }
    }

    /// Swaps three elements around the middle with pseudo-random ones.
    fn break_patterns(&mut self, from: usize, to: usize) {
        let length = to - from;
        let mask = (1_usize << bit_length(length)) - 1;
        let middle = from + (length / 4) * 2;
        let mut random = length as u64;
        for i in 0..3 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            #[expect(clippy::cast_possible_truncation, reason = "only the low bits are used")]
            let mut other = random as usize & mask;
            if other >= length {
                other -= length;
            }
            self.swap(middle - 1 + i, from + other);
        }
    }

    fn choose_pivot(&self, from: usize, to: usize) -> (usize, Pattern) {
        let quarter = (to - from) / 4;
        let mut swaps = 0;
        let mut places = [from + quarter, from + 2 * quarter, from + 3 * quarter];
        if to - from >= NINTHER {
            for place in &mut places {
                *place = self.median([*place - 1, *place, *place + 1], &mut swaps);
            }
        }
        let pivot = self.median(places, &mut swaps);
        let pattern = match swaps {
            0 => Pattern::Ascending,
            DESCENDING_SWAPS => Pattern::Descending,
            _ => Pattern::Unknown,
        };
        (pivot, pattern)
    }

    fn median(&self, [mut a, mut b, mut c]: [usize; 3], swaps: &mut usize) -> usize {
        let mut order = |low: &mut usize, high: &mut usize| {
            if self.less(*high, *low) {
                *swaps += 1;
                std::mem::swap(low, high);
            }
        };
        order(&mut a, &mut b);
        order(&mut b, &mut c);
        order(&mut a, &mut b);
        b
    }

    /// Repairs a few misplaced elements; tells whether the range is sorted now.
    fn repair(&mut self, from: usize, to: usize) -> bool {
        let mut i = from + 1;
        for _ in 0..REPAIRS {
            while i < to && !self.less(i, i - 1) {
                i += 1;
            }
            if i == to {
                return true;
            }
            if to - from < SHIFTING {
                return false;
            }
            self.swap(i, i - 1);
            if i - from >= 2 {
                let mut j = i - 1;
                while j >= 1 && self.less(j, j - 1) {
                    self.swap(j, j - 1);
                    j -= 1;
                }
            }
            if to - i >= 2 {
                let mut j = i + 1;
                while j < to && self.less(j, j - 1) {
                    self.swap(j, j - 1);
                    j += 1;
                }
            }
        }
        false
    }

    /// Brings what is less than the pivot before it; tells the pivot's place and whether nothing had to move.
    fn partition(&mut self, from: usize, to: usize, pivot: usize) -> (usize, bool) {
        self.swap(from, pivot);
        let (mut i, mut j) = (from + 1, to - 1);
        let mut moved = false;
        loop {
            while i <= j && self.less(i, from) {
                i += 1;
            }
            while i <= j && !self.less(j, from) {
                j -= 1;
            }
            if i > j {
                break;
            }
            self.swap(i, j);
            moved = true;
            i += 1;
            j -= 1;
        }
        self.swap(j, from);
        (j, !moved)
    }

    /// Brings what equals the pivot to the front, where nothing is less than it; tells where the greater ones start.
    fn partition_equal(&mut self, from: usize, to: usize, pivot: usize) -> usize {
        self.swap(from, pivot);
        let (mut i, mut j) = (from + 1, to - 1);
        loop {
            while i <= j && !self.less(from, i) {
                i += 1;
            }
            while i <= j && self.less(from, j) {
                j -= 1;
            }
            if i > j {
                return i;
            }
            self.swap(i, j);
            i += 1;
            j -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys with many ties in the shapes that lead through every branch.
    fn key(shape: &str, length: usize, i: usize) -> usize {
        match shape {
            "scattered" => (i * 7919) % (length / 3 + 1),
            "two" => (i * 31 / 7) % 2,
            "equal" => 0,
            "ascending" => i / 2,
            "nearly" if i % 17 == 16 => i / 4 - 2,
            "nearly" => i / 4,
            "descending" => (length - i) / 2,
            "sawtooth" => i % 8,
            _ if i < length / 2 => i / 2,
            _ => (length - i) / 2,
        }
    }

    /// FNV-1a over the original places in sorted order.
    fn fingerprint(items: &[(usize, usize)]) -> u64 {
        items.iter().fold(0xcbf2_9ce4_8422_2325, |hash, (_, place)| {
            (hash ^ *place as u64).wrapping_mul(0x0100_0000_01b3)
        })
    }

    /// The fingerprints were taken from Go 1.26's `sort.Sort` on the same keys.
    #[test]
    fn ties_end_in_the_order_that_go_gives_them() {
        let expected: [(&str, [u64; 3]); 8] = [
            ("scattered", [0xe404_1570_1307_1d2f, 0x28a7_5f8d_ef95_4e73, 0xac73_07de_a8b7_cabf]),
            ("two", [0xba2b_5a59_5777_8163, 0x5c88_2c23_42c3_6a71, 0xe033_148d_fea3_9c73]),
            ("equal", [0xb961_37ea_2d10_008f, 0x8368_214f_7799_5ee5, 0x7405_579c_4bb8_00fd]),
            ("ascending", [0xb961_37ea_2d10_008f, 0x8368_214f_7799_5ee5, 0x7405_579c_4bb8_00fd]),
            ("nearly", [0xb961_37ea_2d10_008f, 0xbb66_98c1_6ad5_6e51, 0x3bf7_77e6_7154_235b]),
            ("descending", [0xbb8b_3013_96f7_59dd, 0x6002_cf52_14cf_e63d, 0x75ab_3b75_1ab9_a3b5]),
            ("sawtooth", [0x34d1_bdf8_87d4_6227, 0xee68_04b6_ee62_75b5, 0x217e_450b_388c_0f2d]),
            ("organ", [0x3df3_0d23_858b_ee2d, 0x395a_533a_6447_f271, 0x415a_6c03_aed9_ce8f]),
        ];
        for (shape, fingerprints) in expected {
            for (length, expected) in [13, 64, 5000].into_iter().zip(fingerprints) {
                let mut items: Vec<_> = (0..length).map(|i| (key(shape, length, i), i)).collect();
                go_sort(&mut items, |a, b| a.0 < b.0);
                assert!(items.is_sorted_by_key(|(key, _)| *key), "{shape} {length}");
                assert_eq!(fingerprint(&items), expected, "{shape} {length}");
            }
        }
    }

    #[test]
    fn up_to_twelve_elements_keep_the_order_of_ties() {
        let mut items: Vec<_> = (0..12).map(|i| (i % 3, i)).collect();
        let mut stable = items.clone();
        stable.sort_by_key(|(key, _)| *key);
        go_sort(&mut items, |a, b| a.0 < b.0);
        assert_eq!(items, stable);
    }
}
