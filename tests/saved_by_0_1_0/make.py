import pickle, json, pathlib, shutil
import numpy as np, selfstab as ss
root = pathlib.Path(__file__).parent
loss = ss.Product()
start, previous = ss.flip_start(loss, loss.minimum(sharpness=4.0), size=1e-3)
every = ["final_loss","max_loss","final_sharpness","min_sharpness","max_sharpness","diverged_at","phase","overshoot","peak_excess","drop"]
data = ss.sweep(loss, ss.HeavyBall(1.0), {"momentum":[0.0,0.5,0.9],"excess":[-0.1,0.01,0.05,0.6]}, start=start, previous=previous, steps=600, measure=every, store=root/"product.zarr", progress=False)
data.load().to_netcdf(root/"product.nc")
# noise, warmup, lookahead, repeats; some blocks are missing (removed below)
warm = ss.sweep(ss.CubicTaylor(4.0, 1e-4), ss.HeavyBall(ss.LinearWarmup(0.0,1.0,300),0.7,0.7), {"lookahead":[0.0,0.35,0.7],"lr.steps":[100,300],"start.x":[0.01,0.02]}, start=[0.0,0.0], steps=400, noise=1e-4, seed=3, repeats=2, measure=["final_sharpness","phase","diverged_at"], store=root/"warmup.zarr", progress=False)
warm.load().to_netcdf(root/"warmup.nc")
for p in sorted((root/"warmup.zarr/selfstab-sweep/done").iterdir()): print(p)
net = ss.DiagonalNetwork(*ss.datasets.sparse_regression(4,3,1,0))
d = ss.sweep(net, ss.HeavyBall(0.1,0.5), {"lr":[0.05,0.1]}, start=ss.Initialization(0,0.5), steps=50, measure=["final_loss","final_sharpness","phase"], store=root/"network.zarr", progress=False)
d.load().to_netcdf(root/"network.nc")
run = ss.simulate(loss, ss.HeavyBall(0.97,0.9), start, 300, previous=previous, keep=["loss","sharpness","weights","velocity","gradient_norm","top_eigenvector"])
run.to_netcdf(root/"run.nc"); run.to_zarr(root/"run.zarr", consolidated=False)
np.savez(root/"run.npz", lambda_max=run.sharpness, loss=run.loss, lr=run.lr)
m = ss.MLP((4,3,1), *[np.arange(8.).reshape(2,4)/8, np.array([[1.],[-1.]])])
objs = {"heavy_ball": ss.HeavyBall(ss.LinearWarmup(0.1,0.2,5),0.9,0.1), "constant": ss.HeavyBall(ss.Constant(0.1)), "product": loss, "cubic": ss.CubicTaylor(4.0), "quadratic": ss.Quadratic([2.,1.]), "formula": ss.SymbolicLoss("(u*v-c)**2/2",["u","v"],{"c":1.0}), "mlp": m, "diagonal": net, "initialization": ss.Initialization(1,0.5)}
for k,o in objs.items():
    try: (root/f"{k}.pickle").write_bytes(pickle.dumps(o)); print(k, len(pickle.dumps(o)))
    except Exception as e: print(k, "no", e)
