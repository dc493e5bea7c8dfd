//! The nodes of ComfyUI's execution tests, under their names: each shows one way in which a node takes part in a run.
//!
//! Written from their behaviour. Pictures have 8 bits a channel; what is between two values is rounded down. An
//! accumulation holds data, no pictures.

mod expansion;
mod flow;
mod lists;
mod logic;
mod mixing;
mod stubs;
mod validation;
mod values;
mod waiting;

/// A node of the pack: its id and title, its inputs, its outputs, its work, and what else it does.
macro_rules! nodes {
    ($($node:ident $title:literal ($inputs:ty) -> [$($output:expr),*] $run:expr; {$($more:tt)*})*) => {$(
        pub(crate) struct $node;

        impl plugin_sdk::Node for $node {
            type Inputs = $inputs;
            const INFO: plugin_sdk::Info =
                plugin_sdk::Info { category: "Testing", ..plugin_sdk::info!(stringify!($node), $title) };

            fn outputs() -> Vec<plugin_sdk::Output> {
                vec![$($output),*]
            }

            fn run(inputs: $inputs) -> plugin_sdk::Result<plugin_sdk::Returned> {
                let run: fn($inputs) -> plugin_sdk::Result<plugin_sdk::Returned> = $run;
                run(inputs)
            }

            $($more)*
        }
    )*};
}
pub(crate) use nodes;

plugin_sdk::export!(
    as plugin_sdk::info!("test.comfy-testing-pack", "ComfyUI's testing pack");
    stubs::StubImage: Node, stubs::StubConstantImage: Node, stubs::StubMask: Node, stubs::StubInt: Node,
    stubs::StubFloat: Node,
    mixing::TestLazyMixImages: Node, mixing::TestVariadicAverage: Node, mixing::TestCustomIsChanged: Node,
    mixing::TestIsChangedWithConstants: Node, mixing::TestOutputNodeWithSocketOutput: Node,
    validation::TestCustomValidation1: Node, validation::TestCustomValidation2: Node,
    validation::TestCustomValidation3: Node, validation::TestCustomValidation4: Node,
    validation::TestCustomValidation5: Node,
    expansion::TestDynamicDependencyCycle: Node, expansion::TestMixedExpansionReturns: Node,
    expansion::TestSamplingInExpansion: Node, expansion::TestParallelSleep: Node,
    expansion::TestDynamicAsyncGeneration: Node,
    waiting::TestSleep: Node, waiting::TestAsyncValidation: Node, waiting::TestAsyncError: Node,
    waiting::TestAsyncValidationError: Node, waiting::TestAsyncTimeout: Node, waiting::TestSyncError: Node,
    waiting::TestAsyncLazyCheck: Node, waiting::TestAsyncResourceUser: Node, waiting::TestAsyncBatchProcessing: Node,
    waiting::TestAsyncConcurrentLimit: Node, waiting::TestAsyncProgressUpdate: Node,
    waiting::TestSyncProgressUpdate: Node,
    flow::TestWhileLoopOpen: Node, flow::TestWhileLoopClose: Node, flow::TestForLoopOpen: Node,
    flow::TestForLoopClose: Node, flow::TestExecutionBlocker: Node,
    lists::TestAccumulateNode: Node, lists::TestAccumulationHeadNode: Node, lists::TestAccumulationTailNode: Node,
    lists::TestAccumulationToListNode: Node, lists::TestListToAccumulationNode: Node,
    lists::TestAccumulationGetLengthNode: Node, lists::TestAccumulationGetItemNode: Node,
    lists::TestAccumulationSetItemNode: Node, lists::TestMakeListNode: Node,
    logic::TestIntMathOperation: Node, logic::TestIntConditions: Node, logic::TestFloatConditions: Node,
    logic::TestStringConditions: Node, logic::TestToBoolNode: Node, logic::TestBoolOperationNode: Node,
);
