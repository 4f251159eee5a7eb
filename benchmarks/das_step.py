from _compare import Comparisons
from _equality import das, network, three_kinds
from _steps import *
run=Comparisons("x")
for B in (640,6400):
    batches=three_kinds(B)
    model=network()
    mod=das(model)
    w=mod.intervention.subspaces[0].weight
    for name,other,ours,t in (("hand",HandWritten(model,w),Ours(das(model)),1.3),("B1",FreshBound(model,w),Ours(das(model)),1.1),("B2",CachedBound(model,w,batches),OursCached(das(model),batches),1.2)):
        pass
        run.overhead(f"das_step/{name}/{B}",lambda:ours.each(batches),lambda:other.each(batches),run.pairs(100),t)
