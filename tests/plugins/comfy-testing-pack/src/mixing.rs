//! Lazy and undeclared inputs, results that are said to change, and outputs that are also sockets.

use crate::nodes;
use crate::values::{Batch, Mask, one, out, plain, same_size};
use plugin_sdk::spec::Behaviour;
use plugin_sdk::{Error, FromValue, Image, Inputs, PixelFormat, Result, Value, Values, place};
use std::sync::Arc;

/// Two pictures by a mask.
#[derive(Inputs)]
pub(crate) struct LazyMix {
    #[input(lazy, required)]
    image1: Option<Batch>,
    #[input(lazy, required)]
    image2: Option<Batch>,
    mask: Mask,
}

/// One picture and any number of others.
#[derive(Inputs)]
pub(crate) struct Average {
    input1: Batch,
}

/// A picture.
#[derive(Inputs)]
pub(crate) struct Changing {
    image: Batch,
    #[input(default = false)]
    should_change: bool,
}

/// A picture and a factor.
#[derive(Inputs)]
pub(crate) struct Scaled {
    image: Batch,
    #[input(default = 1.0, range = 0.0..=10.0, required)]
    value: f64,
}

fn mix(a: &Batch, b: &Batch, mask: &[f32]) -> Result<Batch> {
    let one = |(a, b): (&Arc<Image>, &Arc<Image>)| {
        let (width, height) = same_size(&[a, b])?;
        let (a, b) = (a.read(PixelFormat::Rgb8)?, b.read(PixelFormat::Rgb8)?);
        if mask.len() < a.len() / 3 {
            return Err(Error::invalid_input("the mask is smaller than the pictures"));
        }
        let pixel = |(i, (a, b)): (usize, (&u8, &u8))| {
            let share = mask[i / 3];
            (f32::from(*a) * (1.0 - share) + f32::from(*b) * share) as u8
        };
        let pixels: Vec<u8> = a.iter().zip(&b).enumerate().map(pixel).collect();
        Ok(Arc::new(Image::from_pixels(width, height, PixelFormat::Rgb8, &pixels)?))
    };
    a.0.iter().zip(&b.0).map(one).collect::<Result<_>>().map(Batch)
}

fn absent(inputs: &Values, name: &str) -> bool {
    matches!(inputs.get(name), None | Some(Value::Data(plugin_sdk::serde_json::Value::Null)))
}

nodes! {
    TestLazyMixImages "Lazy Mix Images" (LazyMix) -> [out("IMAGE")] |i| {
        let mask = i.mask.values()?;
        let all = |value: f32| mask.iter().all(|m| *m == value);
        match (i.image1, i.image2) {
            (Some(a), _) if all(0.0) => one(a),
            (_, Some(b)) if all(1.0) => one(b),
            (Some(a), Some(b)) => one(mix(&a, &b, &mask)?),
            _ => Err(Error::invalid_input("a picture is missing")),
        }
    }; {
        fn behaviour() -> Behaviour { plain() }

        fn check_lazy(inputs: &Values) -> Result<Vec<String>> {
            let mask = inputs.get("mask").map_or_else(|| Err("no mask".to_owned()), Mask::from_value);
            let mask = mask.map_err(Error::invalid_input)?.values()?;
            let needs = |name: &str, useless: f32| absent(inputs, name) && mask.iter().any(|m| *m != useless);
            let all = [("image1", 1.0), ("image2", 0.0)];
            Ok(all.into_iter().filter(|(name, useless)| needs(name, *useless)).map(|(n, _)| n.to_owned()).collect())
        }
    }

    TestVariadicAverage "Variadic Average" (Average) -> [out("IMAGE")] |i| {
        let mut more = place::more();
        let mut all = vec![i.input1];
        while let Some(value) = more.remove(&format!("input{}", all.len() + 1)) {
            all.push(Batch::from_value(&value).map_err(Error::invalid_input)?);
        }
        one(Batch::mean(&all)?)
    }; { fn behaviour() -> Behaviour { Behaviour { variadic: true, ..plain() } } }

    TestCustomIsChanged "Custom IsChanged" (Changing) -> [out("IMAGE")] |i| {
        let _ = i.should_change;
        one(i.image)
    }; {
        fn behaviour() -> Behaviour { Behaviour { fingerprints: true, ..plain() } }

        fn fingerprint(inputs: &Values) -> Result<Option<String>> {
            let changes = matches!(inputs.get("should_change"), Some(Value::Data(v)) if v.as_bool() == Some(true));
            Ok((!changes).then(String::new))
        }
    }

    TestIsChangedWithConstants "IsChanged With Constants" (Scaled) -> [out("IMAGE")] |i| {
        one(i.image.map(|p| p * i.value)?)
    }; {
        fn behaviour() -> Behaviour { Behaviour { fingerprints: true, ..plain() } }

        fn fingerprint(inputs: &Values) -> Result<Option<String>> {
            if !absent(inputs, "image") {
                return Err(Error::internal("only constants may be seen here"));
            }
            Ok(inputs.get("value").map(Value::describe))
        }
    }

    TestOutputNodeWithSocketOutput "Output Node With Socket Output" (Scaled) -> [out("IMAGE")] |i| {
        one(i.image.map(|p| p * i.value)?)
    }; {
        const OUTPUT_NODE: bool = true;
        fn behaviour() -> Behaviour { plain() }
    }
}
