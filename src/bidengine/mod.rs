//! Eligibility, policy, pricing, placement and the decision record; pure.
