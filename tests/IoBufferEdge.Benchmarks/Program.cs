using IoBufferEdge.Benchmarks;

return Verbs.Run(args);
