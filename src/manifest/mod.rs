//! SDL to groups and manifest, canonical form, hash, and every validation rule; pure.
