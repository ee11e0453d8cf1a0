//! One integration binary; a file for each subject.

mod architecture;
mod autobahn;
mod boot;
mod bounds;
mod faults;
mod fencing;
mod fuzz;
mod gateway;
mod hooks;
mod interview;
mod keeper;
mod line;
mod machines;
mod otp;
mod outage;
mod pooler;
mod properties;
mod provider;
mod shutdown;
mod signaling;
mod support;
mod surroundings;
mod takes;
mod tenant;
mod tenants_apart;
mod tickets;
