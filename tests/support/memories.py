"""Settings with layers that carry state, as the tests of runs take them."""

GRU = {"merge_layers": [{"layer_type": "gru", "layer_size": 8}]}
MEMORIES = {
    "merge_layers": [
        {"layer_type": "fsmn", "hidden_dim": 8, "memory_order": 2},
        {"layer_type": "attention", "kind": "hybrid", "d_model": 8, "n_heads": 2, "window": 4, "feature_dim": 4},
        {"layer_type": "gru", "layer_size": 8},
        {"layer_type": "lstm", "layer_size": 8},
    ]
}
