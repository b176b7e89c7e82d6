//! CloudEvents envelope, Standard Webhooks signatures, typed chain events, gap detection; pure.
