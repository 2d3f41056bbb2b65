"""What comes in: trades and quotes as columns, one reader per format, signing, quality, a simulated market."""

from calibrig.market.ticks import MarketData, Quotes, Trades

__all__ = ["MarketData", "Quotes", "Trades"]
