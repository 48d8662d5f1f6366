"""connections (rest_for_one): the devices, one actor for each that is connected."""
