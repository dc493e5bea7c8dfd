//! The plugin kit as authors and users meet it: the guide word by word, the frozen contract, first-party plugins under the
//! suite that authors run. What needs no program is in `host/kit/tests`.

mod contract;
mod first_party;
mod tutorial;
