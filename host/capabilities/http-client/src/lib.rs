//! Outbound HTTP within a component's grants
